from __future__ import annotations

import ast

import pytest

from codegen25.data.documents import Document
from codegen25.data.functions import CHARACTERS, module_functions

LOOP = "    total = 0\n    for each in values:\n        total += sqrt(each) * scale\n" * 2
MODULE = f"""import os, sys
from math import sqrt as sqrt, floor
\f
@cached
def roots(values, scale):
{LOOP}    return total


def short(x):
    return x


class A:
    def method(self, values, scale):
{LOOP.replace("    ", "        ")}


async def later(values, scale):
{LOOP}    return os.getpid()
"""


def cut(text: str, path: str = "m.py") -> dict[str, str]:
    return {
        each.path: each.text
        for each in module_functions(Document(text, path, "r", "MIT", "python", 3))
    }


def test_functions_come_with_the_imports_they_use_and_their_decorators() -> None:
    found = cut(MODULE)
    assert list(found) == ["m.py::roots", "m.py::later"]
    head, _, rest = found["m.py::roots"].partition("\n\n\n")
    assert head == "from math import sqrt as sqrt, floor"
    assert rest == f"@cached\ndef roots(values, scale):\n{LOOP}    return total\n"
    assert found["m.py::later"].startswith("import os, sys\nfrom math")
    assert all(ast.parse(text) for text in found.values())


def test_where_they_come_from_stays() -> None:
    document = Document(MODULE, "m.py", "r", "MIT", "python", 3)
    made = next(module_functions(document))
    assert (made.repo, made.license, made.language, made.stars) == ("r", "MIT", "python", 3)


@pytest.mark.parametrize("lines", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_shift_a_function(lines: str) -> None:
    found = cut(MODULE.replace("\n", lines))
    assert found["m.py::roots"].rstrip().endswith("return total")


def test_lengths_are_bounded() -> None:
    for count, taken in ((1, False), (8, True), (60, False)):
        text = "def f(value):\n" + "    value = value + 1\n" * count
        assert (CHARACTERS[0] <= len(text) <= CHARACTERS[1]) == taken == bool(cut(text))


@pytest.mark.parametrize("text", ["def f(:\n", "x = 1\n", "", "(" * 10_000, "a\0b"])
def test_what_has_no_functions_gives_none(text: str) -> None:
    assert cut(text) == {}
    assert cut(MODULE, "m.pyi") == {}
