"""Kinds of values: how they are annotated, spoken of and sampled."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from codegen25.data.sources.exercises.draft import Param, text


@dataclass(frozen=True)
class Kind:
    """A kind of parameter: its type, the noun for it, and longer phrases with an article."""

    type: str
    noun: str
    phrases: tuple[str, ...]


KINDS = {
    "int": Kind("int", "number", ("an integer", "a number")),
    "nat": Kind("int", "number", ("a non-negative integer", "an integer that is not negative")),
    "pos": Kind("int", "number", ("a positive integer",)),
    "float": Kind("float", "number", ("a number", "a float")),
    "bool": Kind("bool", "flag", ("a boolean",)),
    "str": Kind("str", "string", ("a string", "a text")),
    "word": Kind("str", "word", ("a word", "a string")),
    "letter": Kind("str", "character", ("a character", "a single character")),
    "ints": Kind("list[int]", "list", ("a list of integers", "a list of numbers")),
    "ints+": Kind("list[int]", "list", ("a non-empty list of integers",)),
    "floats": Kind("list[float]", "list", ("a list of floats", "a list of numbers")),
    "bools": Kind("list[bool]", "list", ("a list of booleans",)),
    "words": Kind("list[str]", "list", ("a list of strings", "a list of words")),
    "words+": Kind("list[str]", "list", ("a non-empty list of strings",)),
    "pairs": Kind("list[tuple[str, int]]", "list", ("a list of pairs of a name and a number",)),
    "lists": Kind("list[list[int]]", "list", ("a list of lists of integers",)),
    "grid": Kind("list[list[int]]", "matrix", ("a matrix as a list of rows",)),
    "dict": Kind("dict[str, int]", "dictionary", ("a dictionary of strings to integers",)),
    "strdict": Kind("dict[str, str]", "dictionary", ("a dictionary of strings to strings",)),
    "listdict": Kind("dict[str, list[int]]", "dictionary", ("a dictionary of names to lists",)),
}

WORDS = text("tables/words.txt").split()
NAMES = text("tables/names.txt").split()


def sample(param: Param, rng: Random) -> Any:
    """A value for a parameter.

    `how` bounds numbers (`0..9`, also inside lists), or names one of `SPECIAL`.
    """
    if param.how in SPECIAL:
        return SPECIAL[param.how](rng)
    low, high = _bounds(param.how, param.kind)
    kind = param.kind
    if kind in ("int", "nat", "pos"):
        return rng.randint(low, high)
    if kind == "float":
        return rng.choice([float(rng.randint(low, high)), rng.randint(low * 2, high * 2) / 2])
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "str":
        return _text(rng)
    if kind == "word":
        return _cased(rng.choice(WORDS), rng)
    if kind == "letter":
        return rng.choice("aeioubcdlmnrst")
    return _collection(kind, low, high, rng)


def arguments(params: Sequence[Param], rng: Random) -> list[Any]:
    """A value for each parameter; letters, prefixes and targets often suit what comes before."""
    values: list[Any] = []
    for param in params:
        values.append(sample(param, rng))
        if not values[0] or rng.random() < 0.4:
            continue
        first = values[0]
        if param.slot == "target" and param.kind == "int" and params[0].kind[:4] == "ints":
            values[-1] = rng.choice(first)
        if param.slot not in ("letter", "prefix", "suffix") or isinstance(first, int):
            continue
        words = (
            first.split() if isinstance(first, str) else [w for w in first if isinstance(w, str)]
        )
        if len(values) > 1 and words:
            values[-1] = _piece(param.slot, rng.choice(words), rng)
    return values


def _piece(slot: str, word: str, rng: Random) -> str:
    if slot == "letter":
        return rng.choice(word)
    size = rng.choice((1, 1, 2))
    return word[:size] if slot == "prefix" else word[-size:]


def _collection(kind: str, low: int, high: int, rng: Random) -> Any:
    size = rng.choice((1, 2, 3, 3, 4, 4, 5, 5, 6)) if kind[-1] == "+" or rng.random() < 0.93 else 0
    if kind.startswith("ints"):
        return ints(size, low, high, rng)
    if kind == "floats":
        return [rng.randint(2 * low, 2 * high) / 2 for _ in range(size)]
    if kind == "bools":
        return [rng.random() < 0.6 for _ in range(size)]
    if kind.startswith("words"):
        found = [rng.choice(WORDS) for _ in range(min(size, 5))]
        return [_cased(word, rng) for word in found] if rng.random() < 0.3 else found
    if kind == "grid":
        width = rng.randint(1, 4)
        return [ints(width, low, high, rng) for _ in range(rng.randint(1, 3))]
    if kind == "lists":
        return [ints(rng.randint(0, 4), low, high, rng) for _ in range(size // 2 + 1)]
    keys = rng.sample(NAMES, min(size, 4))
    if kind == "pairs":
        return [(rng.choice(keys), rng.randint(low, high)) for _ in keys]
    if kind == "strdict":
        return {key: rng.choice(WORDS) for key in keys}
    if kind == "listdict":
        return {key: ints(rng.randint(0, 3), low, high, rng) for key in keys}
    assert kind == "dict", kind
    return {key: rng.randint(low, high) for key in keys}


def ints(size: int, low: int, high: int, rng: Random) -> list[int]:
    """Integers within bounds, at times from a narrow range so that some repeat."""
    if rng.random() < 0.3:
        low, high = max(low, 0), min(high, max(low, 0) + 4)
    return [rng.randint(low, max(low, high)) for _ in range(size)]


def _bounds(how: str, kind: str) -> tuple[int, int]:
    found = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", how)
    if found:
        return int(found[1]), int(found[2])
    assert not how, f"no sampler {how}"
    if kind in ("nat", "pos"):
        return int(kind == "pos"), 60
    return {"int": (-15, 60), "floats": (-3, 12), "grid": (-3, 9), "dict": (0, 30)}.get(
        kind, (-9, 25)
    )


def _cased(word: str, rng: Random) -> str:
    return rng.choice((word, word, word.capitalize(), word.upper(), word + str(rng.randint(0, 9))))


def _text(rng: Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    if rng.random() < 0.35:
        words = [_cased(word, rng) for word in words]
    text = " ".join(words)
    if rng.random() < 0.2:
        text = text.capitalize() + rng.choice(".!?")
    return "" if rng.random() < 0.04 else text


def _palindrome(rng: Random) -> str:
    half = rng.choice(("ra", "le", "no", "ab", "abc", "Ka", "step on", "x", "never odd"))
    return half + rng.choice(("", "d", "v")) + half[::-1] if rng.random() < 0.6 else _text(rng)


def _brackets(rng: Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(("()", "(())", "()()", "(()())", "", "((()))", "()(())", "(a + b)"))
    return "".join(rng.choice("()") for _ in range(rng.randint(1, 6)))


def _anagram(rng: Random) -> str:
    return "".join(rng.sample(rng.choice(("tea", "stop", "abc")), 3))


def _runs(rng: Random) -> str:
    return "".join(rng.choice("abcx") * rng.randint(1, 4) for _ in range(rng.randint(1, 4)))


def _row(rng: Random) -> list[int]:
    start, step = rng.randint(-3, 9), rng.choice((1, 2, 3, -1, -2, 0))
    row = [start + step * i for i in range(rng.randint(1, 5))]
    return row if rng.random() < 0.6 else ints(len(row), 0, 9, rng)


def _square(rng: Random) -> list[list[int]]:
    size = rng.randint(1, 3)
    found = [ints(size, 0, 9, rng) for _ in range(size)]
    if rng.random() < 0.3:
        found = [[found[min(i, j)][max(i, j)] for j in range(size)] for i in range(size)]
    return found


SPECIAL: dict[str, Callable[[Random], Any]] = {
    "palindrome": _palindrome,
    "brackets": _brackets,
    "anagram": _anagram,
    "runs": _runs,
    "row": _row,
    "square": _square,
    "sorted": lambda rng: sorted(ints(rng.randint(0, 6), -5, 20, rng)),
    "sorted+": lambda rng: sorted(ints(rng.randint(1, 6), -5, 20, rng)),
    "palinumber": lambda rng: rng.choice((7, 11, 121, 1331, 4554, rng.randint(10, 999))),
    "power": lambda rng: rng.choice((1, 2, 4, 8, 9, 27, 64, 81, rng.randint(1, 99))),
    "binary": lambda rng: f"{rng.randint(0, 60):b}",
    "hex": lambda rng: f"{rng.randint(0, 300):x}",
    "digits": lambda rng: str(rng.randint(0, 99999)),
    "number": lambda rng: rng.choice(("42", "-7", "3.5", "abc", "1a", "", str(rng.randint(0, 99)))),
    "csv": lambda rng: ",".join(map(str, ints(rng.randint(1, 5), -5, 30, rng))),
    "csvwords": lambda rng: ",".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4))),
    "settings": lambda rng: ";".join(
        f"{key}={rng.randint(0, 99)}" for key in rng.sample(NAMES, rng.randint(1, 3))
    ),
    "time": lambda rng: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
    "snake": lambda rng: "_".join(rng.choice(WORDS) for _ in range(rng.randint(1, 3))),
    "camel": lambda rng: (
        rng.choice(WORDS) + "".join(rng.choice(WORDS).title() for _ in range(rng.randint(0, 2)))
    ),
    "spaced": lambda rng: rng.choice(("  ", " ", "")).join(
        ("", *(rng.choice(WORDS) + " " * rng.randint(0, 2) for _ in range(3)))
    ),
    "separator": lambda rng: rng.choice((",", "-", " ", ", ", "_", "/")),
    "mark": lambda rng: rng.choice("*-#.x0"),
    "prefix": lambda rng: rng.choice(("a", "s", "b", "co", "re", "st", "th")),
    "suffix": lambda rng: rng.choice(("e", "t", "r", "er", "s", "n")),
    "abkey": lambda rng: rng.choice("abcd"),
    "abwords": lambda rng: rng.sample("abcd", rng.randint(0, 3)),
    "abdict": lambda rng: {
        key: rng.randint(0, 5) for key in sorted(rng.sample("abcd", rng.randint(0, 4)))
    },
    "chain": lambda rng: {
        key: rng.choice("bcdef"["abcd".index(key) :]) for key in sorted(rng.sample("abcd", 3))
    },
    "fewwords": lambda rng: [rng.choice(("red", "blue", "tea")) for _ in range(rng.randint(0, 6))],
    "angle": lambda rng: rng.choice((0, 30, 45, 90, 180, 270, 360, rng.randint(0, 720))),
}
"""Samplers for what a random value of the kind would hardly ever be."""
