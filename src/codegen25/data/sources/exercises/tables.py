"""What elements can be asked and made into: tests and transforms of numbers, words, characters.

The tables are text, `tables/*.txt`: a row is a line, with cells between ` | `, and `#` stands for
the element. A row of a test: phrase of many, what is true of one, name, code, the
contrary, and a parameter or constants. Of a transform: phrase of many, of one, name, code, type.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from codegen25.data.sources.exercises.draft import Param, fill, text


@dataclass(frozen=True)
class Test:
    """A question about an element."""

    plural: str
    clause: str
    name: str
    yes: str
    no: str
    params: tuple[Param, ...] = ()


@dataclass(frozen=True)
class Transform:
    """Something made of an element."""

    plural: str
    single: str
    name: str
    code: str
    type: str


def _rows(name: str) -> list[list[str]]:
    return [line.split(" | ") for line in text(f"tables/{name}.txt").strip().split("\n")]


_TESTS = {
    "x": _rows("number_tests"), "w": _rows("word_tests"), "c": _rows("character_tests")
}  # fmt: skip
_TRANSFORMS = {"x": _rows("number_transforms"), "w": _rows("word_transforms")}
_PLURAL = {"is": "are", "has": "have", "does": "do", "lies": "lie", "consists": "consist",
           "begins": "begin"}  # fmt: skip


def _drawn(cells: list[str], rng: Random) -> list[str]:
    """The cells with a constant, if the last one lists some, put in its places."""
    if " = " not in cells[-1]:
        return cells
    key, _, values = cells[-1].partition(" = ")
    constant = {key.strip(): rng.choice(values.split())}
    return [fill(cell, constant) for cell in cells[:-1]]


def a_test(element: str, rng: Random) -> Test:
    """A question about elements of a kind: x (numbers), w (words), c (characters)."""
    cells = _drawn(rng.choice(_TESTS[element]), rng)
    params = [Param.parse(each) for each in ", ".join(cells[5:]).split(",") if each]
    plural, clause, name, yes, no = (cell.replace("#", f"${element}") for cell in cells[:5])
    return Test(plural, clause, name, yes, no, tuple(params))


def a_transform(element: str, rng: Random) -> Transform:
    """Something made of elements of a kind."""
    cells = _drawn(rng.choice(_TRANSFORMS[element]), rng)
    return Transform(*(cell.replace("#", f"${element}") for cell in cells[:5]))


def both(first: Test, second: Test) -> Test | None:
    """The test that asks both, or None if that makes no sense."""
    slots = {param.slot for param in first.params} & {param.slot for param in second.params}
    if (
        slots
        or "$c" in first.yes
        or " and " in first.clause + second.clause
        or family(first) == family(second)
    ):
        return None
    clause = f"{first.clause} and {second.clause}"
    plural = f"{{}} that {plural_of(first.clause)} and {plural_of(second.clause)}"
    yes = f"{_operand(first.yes)} and {_operand(second.yes)}"
    name = f"{first.name}_and_{second.name}"
    return Test(plural, clause, name, yes, f"not ({yes})", first.params + second.params)


def family(test: Test) -> str:
    """What a test is about; two tests of one family may exclude or contain each other."""
    code, element = test.yes, test.yes.replace("(", " ")
    if "$x" in element:
        return "remainder" if "%" in code else "size"
    if "len(" in code:
        return "length"
    return "kind" if "is" in code or "aeiou" in code or '" "' in code else test.name


def _operand(code: str) -> str:
    return f"({code})" if " or " in code else code


def plural_of(clause: str) -> str:
    """What is true of one, said of many: "is even" becomes "are even"."""
    verb, _, rest = clause.partition(" ")
    return f"{_PLURAL.get(verb, verb.removesuffix('s'))} {rest}"
