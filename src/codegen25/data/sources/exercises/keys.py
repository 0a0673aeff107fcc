"""Dictionaries, groups, orders and extremes by a key that is made of each element."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from codegen25.data.sources.exercises.combinators import LISTS
from codegen25.data.sources.exercises.draft import Draft, Param
from codegen25.data.sources.exercises.tables import a_transform


class Keyed(NamedTuple):
    """A list of elements and the key of one; `key` is code, `by` says what it is of `{}`."""

    params: tuple[Param, ...]
    x: str
    one: str
    of: str
    at: str
    over: str
    key: str
    by: str
    name: str
    type: str

    @property
    def loop(self) -> str:
        """The head of a loop."""
        return f"for {self.x} in {self.over}:\n"


_ONE_TO_ONE = {"doubled", "doubles", "tripled", "negated", "incremented", "decremented", "cubes",
               "reversed"}  # fmt: skip

_SAME_ORDER = _ONE_TO_ONE - {"negated", "reversed"}


def keyed(rng: Random) -> Draft:
    """Something done by a key."""
    element = rng.choice("xw")
    made = a_transform(element, rng)
    shape = rng.choice((_mapped, _grouped, _counted, _sorted, _extreme, _extreme, _unique))
    if shape in (_grouped, _counted, _unique) and made.name in _ONE_TO_ONE:
        return keyed(rng)
    if shape in (_sorted, _extreme) and made.name in _SAME_ORDER:
        return keyed(rng)
    if shape is _extreme and made.type == "str":
        return keyed(rng)
    slot, kind, one, of, at, over = LISTS[element]
    key = Keyed((Param(slot, kind),), f"${element}", one, of, at, over, made.code, made.single,
                made.name, made.type)  # fmt: skip
    return shape(key, rng)


def _mapped(k: Keyed, rng: Random) -> Draft:
    says = (f"+a dictionary that maps each {k.one} in {k.at} to {k.by.format('it')}",)
    bodies = (f"return {{{k.x}: {k.key} for {k.x} in {k.over}}}",
              f"$out = {{}}\n{k.loop}    $out[{k.x}] = {k.key}\nreturn $out")  # fmt: skip
    names = (f"map_to_{k.name}", f"{k.name}_by_{k.one}", f"{k.one}_to_{k.name}")
    return Draft(names, k.params, f"dict[{k.of}, {k.type}]", says, bodies)


def _grouped(k: Keyed, rng: Random) -> Draft:
    by = k.by.format("each")
    says = (f"!Group the {k.one}s in {k.at} by {by} and return a dictionary of lists",
            f"+a dictionary with the {k.one}s in {k.at} grouped by {by}")  # fmt: skip
    bodies = (
        f"$out = {{}}\n{k.loop}    $out.setdefault({k.key}, []).append({k.x})\nreturn $out",
        f"$out = defaultdict(list)\n{k.loop}    $out[{k.key}].append({k.x})\nreturn dict($out)",
        f"$out = {{}}\n{k.loop}    $made = {k.key}\n    if $made not in $out:\n"
        f"        $out[$made] = []\n    $out[$made].append({k.x})\nreturn $out",
    )
    names = (f"group_by_{k.name}", f"{k.one}s_by_{k.name}")
    return Draft(names, k.params, f"dict[{k.type}, list[{k.of}]]", says, bodies)


def _counted(k: Keyed, rng: Random) -> Draft:
    by = k.by.format("each")
    says = (f"!Count the {k.one}s in {k.at} by {by} and return a dictionary of counts",)
    bodies = (f"$tally = {{}}\n{k.loop}    $made = {k.key}\n"
              "    $tally[$made] = $tally.get($made, 0) + 1\nreturn $tally",
              f"return dict(Counter({k.key} for {k.x} in {k.over}))")  # fmt: skip
    names = (f"count_by_{k.name}", f"{k.name}_counts")
    return Draft(names, k.params, f"dict[{k.type}, int]", says, bodies)


def _sorted(k: Keyed, rng: Random) -> Draft:
    up, down = ("", "ascending"), (", reverse=True", "descending")
    flag, order = rng.choice((up, up, down))
    by = k.by.format("each")
    says = (f"=the {k.one}s in {k.at}, sorted by {by} in {order} order",
            f"!Sort the {k.one}s in {k.at} by {by}, in {order} order, and return a new list",
            )  # fmt: skip
    bodies = (f"return sorted({k.over}, key=lambda {k.x}: {k.key}{flag})",
              f"$out = list({k.over})\n$out.sort(key=lambda {k.x}: {k.key}{flag})\nreturn $out",
              )  # fmt: skip
    names = (f"sort_by_{k.name}", f"sorted_by_{k.name}", f"order_by_{k.name}")
    note = f"Keep the order of {k.one}s that compare equal."
    return Draft(names, k.params, f"list[{k.of}]", says, bodies, (note,))


def _extreme(k: Keyed, rng: Random) -> Draft:
    name, fun, sign = rng.choice((("largest", "max", ">"), ("smallest", "min", "<")))
    says = (f"=the {k.one} in {k.at} for which {k.by.format('the ' + k.one)} is {name}",)
    bodies = (
        f"if not {k.over}:\n    return None\nreturn {fun}({k.over}, key=lambda {k.x}: {k.key})",
        f"return {fun}({k.over}, key=lambda {k.x}: {k.key}, default=None)",
        f"$best = None\n$value = None\n{k.loop}    $made = {k.key}\n"
        f"    if $value is None or $made {sign} $value:\n        $best, $value = {k.x}, $made\n"
        "return $best",
    )
    names = (f"{k.one}_with_{name}_{k.name}", f"{fun}_by_{k.name}")
    notes = ("Return None for an empty list. Of several, return the first.",)
    return Draft(names, k.params, f"{k.of}?", says, bodies, notes)


def _unique(k: Keyed, rng: Random) -> Draft:
    by = k.by.format("the " + k.one)
    says = (f"!Keep only the first {k.one} in {k.at} for each value of {by}, and return a list "
            "of those kept",)  # fmt: skip
    bodies = (f"$seen = set()\n$out = []\n{k.loop}    $made = {k.key}\n    if $made not in $seen:\n"
              f"        $seen.add($made)\n        $out.append({k.x})\nreturn $out",
              f"$out = {{}}\n{k.loop}    $out.setdefault({k.key}, {k.x})\n"
              "return list($out.values())")  # fmt: skip
    names = (f"unique_by_{k.name}", f"distinct_by_{k.name}")
    return Draft(names, k.params, f"list[{k.of}]", says, bodies)
