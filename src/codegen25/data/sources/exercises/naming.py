"""Names for parameters and variables: each slot has a pool, and elements suit their list."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from random import Random

from codegen25.data.sources.exercises.draft import SELF, SLOT

POOLS = {
    "xs": "numbers numbers nums values xs data items lst arr sequence integers elements array",
    "ys": "others ys second other right more_numbers other_values",
    "ws": "words words strings names items tokens texts terms labels",
    "vs": "others more others_list second",
    "s": "text text string s sentence word phrase message line input_string source",
    "t": "other second t other_text pattern",
    "n": "n n number num value x",
    "k": "k k count size step amount",
    "a": "a first x left",
    "b": "b second y right",
    "z": "c third z last",
    "d": "mapping d data table scores counts dictionary prices stock",
    "e": "other updates extra second",
    "g": "matrix grid rows table board matrix m",
    "h": "other second_matrix right other_grid",
    "ps": "pairs records entries items rows",
    "limit": "limit limit threshold bound cutoff",
    "low": "low lower start minimum lo",
    "high": "high upper stop maximum hi end",
    "target": "target wanted goal value x item",
    "sep": "separator sep delimiter joiner",
    "prefix": "prefix prefix head",
    "suffix": "suffix suffix ending",
    "letter": "letter char character c ch",
    "old": "old before target",
    "new": "new after replacement",
    "width": "width length size n",
    "mark": "fill mark symbol filler",
    "default": "default fallback otherwise",
    "out": "result result output out res answer collected",
    "total": "total total result acc running_total res",
    "count": "count count total counter result found",
    "best": "best largest_so_far current result best_so_far winner",
    "found": "found result match answer",
    "seen": "seen seen known visited already_seen",
    "kept": "kept selected matching chosen filtered picked",
    "rest": "rest remaining others tail_result",
    "left": "left lo begin i",
    "right": "right hi finish j",
    "i": "i i index idx position pos",
    "j": "j j j other_index",
    "key": "key name k label",
    "value": "value value v val current_value",
    "piece": "word part piece token item",
    "cur": "current run chunk group part",
    "prev": "previous prev last before",
    "digit": "digit d last_digit remainder",
    "sign": "sign factor",
    "p": "a left x first",
    "q": "b right y second",
    "size": "size length n total_count",
    "mid": "middle mid center half",
    "col": "col column",
    "flag": "ok is_valid valid answer",
    "tally": "counts counts counter frequencies tally occurrences",
    "yes": "yes accepted matching good",
    "no": "no rejected others bad",
    "ls": "lists groups list_of_lists sublists",
    "flags": "flags values answers bits checks",
    "other": "other k name",
    "start": "start first begin",
    "step": "step increment delta",
    "made": "key key k group measure",
    "parts": "parts pieces fields chunks",
}
ELEMENTS = {
    "xs": ("x", "number num n x value item element"),
    "ys": ("y", "y other_number other v"),
    "ws": ("w", "word w item name token string"),
    "s": ("c", "char c ch letter character symbol"),
    "g": ("row", "row line r"),
    "ps": ("pair", "pair entry record"),
}
_COUPLED = {
    "numbers": "number num n x", "nums": "num n x number", "values": "value v x val",
    "xs": "x", "data": "value item x", "items": "item it x", "lst": "item element x",
    "arr": "x element num", "sequence": "element item x", "integers": "integer n i x",
    "elements": "element e x", "array": "element x value", "words": "word w",
    "strings": "string s text", "names": "name n", "tokens": "token t", "texts": "text t",
    "terms": "term", "labels": "label", "rows": "row r", "pairs": "pair p",
    "records": "record r", "entries": "entry e",
}  # fmt: skip
_SECOND = {"a": "b", "first": "second", "x": "y", "left": "right"}
_PARTNERS = {"b": ("a", _SECOND), "q": ("p", _SECOND),
             "z": ("a", {"a": "c", "first": "third", "x": "z"})}  # fmt: skip
_OWNERS = {element: (slot, pool) for slot, (element, pool) in ELEMENTS.items()}
_COMMENT = re.compile(r"^ *# .*", re.MULTILINE)
_IDENTIFIER = re.compile(r"(?<![\w$.])[A-Za-z_]\w*")
_TAKEN = frozenset(keyword.kwlist) | frozenset(dir(builtins))


def names(code: str, params: Iterable[str], function: str, rng: Random) -> dict[str, str]:
    """A name for each slot of `params` and of `code`, all different from each other and from
    whatever else `code` names."""
    chosen: dict[str, str] = {SELF: function}
    used = {function, *_IDENTIFIER.findall(_COMMENT.sub("", code))}
    # An element's name follows its list's, so parameters come first.
    for slot in dict.fromkeys((*params, *SLOT.findall(code))):
        if slot in chosen:
            continue
        pool = _pool(slot, chosen)
        free = [name for name in pool if name not in used and name not in _TAKEN]
        chosen[slot] = name = rng.choice(free) if free else f"{slot}0"
        used.add(name)
    return chosen


def _pool(slot: str, chosen: dict[str, str]) -> list[str]:
    if slot in _OWNERS:
        owner, pool = _OWNERS[slot]
        return [*(_COUPLED.get(chosen.get(owner, ""), "") or pool).split(), slot]
    partner, names = _PARTNERS.get(slot, ("", {}))
    fitting = names.get(chosen.get(partner, ""), "")
    return [fitting] if fitting and fitting not in chosen.values() else POOLS[slot].split()


def put(text: str, chosen: dict[str, str]) -> str:
    """`text` with its slots replaced by the names chosen."""
    return SLOT.sub(lambda match: chosen[match[1]], text)
