"""What a corpus is asked for: functions by docstrings, blocks by comments, changes by commits."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from codegen25.data.documents import Document
from codegen25.data.records.commits import commit
from codegen25.data.records.git import Change
from codegen25.errors import UserError
from codegen25.instruct import question
from codegen25.train import pairs
from codegen25.train.mining import CONTINUE, PROBLEMS, mined, named, of_text
from codegen25.train.turns import Turn
from conftest import split_of

MODULE = '''
import os

def area(width, height):
    """Return the area of a rectangle of a width and a height.

    More is said here.
    """
    product = width * height
    return product


def undocumented(x):
    return x + 1


def _hidden(x):
    """Return what is hidden from everybody who looks for it."""
    return x * 2 + os.getpid() + 1


def short(x):
    """Too short."""
    return x
'''


AREA = "def area(width, height):\n    product = width * height\n    return product\n"

COMMENTED = """
def total(rows):
    # Begin with nothing at all.
    result = 0
    text = '''Say it:
    # This is no comment but a line of text.
    '''
    # Sum up what is positive,
    # whatever its kind.
    for row in rows:
        if row > 0:

            result += row
    # TODO: something else that has to be done.
    result += 0
    # result = sum(rows)
    result += 1
    # Nothing follows this comment here.

    return result
"""


def change(before: str, after: str, message: str = "Add the border to the width") -> Document:
    what = Change("c" * 40, ("Ada L", "ada@example.org"), message, "area.py", "b", "a")
    made = commit(what, before, after, repo="r")
    assert isinstance(made, Document)
    return made


def test_a_function_is_asked_for_by_its_docstring() -> None:
    (turn,) = of_text(MODULE, ("docstrings",))
    assert "Return the area of a rectangle of a width and a height." in turn.prompt
    if any(problem in turn.prompt for problem in PROBLEMS):
        assert "More is said" in turn.prompt and "More is said" in turn.response
    else:
        assert "More is said" not in turn.prompt + turn.response and turn.response == AREA


def test_functions_are_asked_for_in_several_ways() -> None:
    texts = [MODULE.replace("product", f"name_{i}") for i in range(200)]
    turns = [turn for text in texts for turn in of_text(text, ("docstrings",))]
    asked = [turn.prompt.split("### Instruction:\n")[1] for turn in turns]
    kinds = Counter(text.split(":")[0].split("`")[0] for text in asked)
    assert len(turns) == 200 and len(kinds) == 5 and min(kinds.values()) > 10
    for text, turn in zip(asked, turns, strict=True):
        assert ast.parse(turn.response)
        whole = text.split(":")[0] + ":" in PROBLEMS
        assert ("More is said" in turn.response) == whole


def test_a_block_is_asked_for_by_the_comment_above_it() -> None:
    first, turn = of_text(COMMENTED, ("comments",))
    said = f"{CONTINUE} Sum up what is positive, whatever its kind."
    before = COMMENTED[1:].partition("    # Sum up")[0]
    assert turn.prompt == question(said, before.rstrip())
    assert turn.response == (
        "    for row in rows:\n        if row > 0:\n\n            result += row\n"
    )
    assert "Begin with nothing at all." in first.prompt
    assert first.response.startswith("    result = 0\n    text = ")


def test_lines_are_counted_as_python_counts_them() -> None:
    """A form feed ends none."""
    (turn,) = of_text(f"x = 1\f\n{MODULE}", ("docstrings",))
    assert turn.response.endswith(AREA.partition("\n")[2])


@pytest.mark.parametrize(
    "text", ["def f(:", "x = '''a'''", "# A comment of a module.\nx = 1\n", ""]
)
def test_other_text_gives_nothing(text: str) -> None:
    assert list(of_text(text)) == []


def test_a_change_is_asked_for_by_what_its_commit_says(tmp_path: Path) -> None:
    before, after = "def width(x):\n    return x\n", "def width(x):\n    return x + 2\n"
    made = split_of(
        tmp_path, Document(MODULE, "a.py", "r", language="python"), change(before, after)
    )
    (turn,) = mined(made, ("commits",))
    assert turn == Turn(
        question("Change this code. Add the border to the width", before[:-1]), after
    )
    assert len(mined(made, ("docstrings", "commits"))) == 2


def test_what_stands_twice_is_asked_once(tmp_path: Path) -> None:
    documents = [Document(MODULE, f"{i}.py", "r", language="python") for i in range(3)]
    assert len(mined(split_of(tmp_path, *documents), ("docstrings",))) == 1


def test_decorators_belong_to_what_they_decorate() -> None:
    text = (
        'def counted(function):\n    """Return a function that counts its calls."""\n'
        "    @functools.wraps(function)\n    def wrapper():\n        wrapper.count += 1\n"
        "        return function()\n    wrapper.count = 0\n    return wrapper\n"
    )
    (turn,) = of_text(text, ("docstrings",))
    assert "@functools.wraps" in turn.response and ast.parse(turn.response)


@pytest.mark.parametrize(
    ("given", "kinds"),
    [("docstrings", ("docstrings",)), ("comments, commits", ("comments", "commits")),
     ("pairs.jsonl", ()), ("docstring", ()), ("", ())],
)  # fmt: skip
def test_kinds_by_their_names(given: str, kinds: Sequence[str]) -> None:
    assert named(given) == kinds


def test_a_kind_that_is_unknown_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pairs: comment is none of docstrings, comments, commits"):
        named("docstrings, comment")
    with pytest.raises(UserError, match="or some of docstrings"):
        made = split_of(tmp_path, Document("x = 1\n", "a.py", "r"))
        pairs.of("docstring", made, made)


def test_a_corpus_without_any_is_named(tmp_path: Path) -> None:
    made = split_of(tmp_path, Document("x = 1\n", "a.py", "r", language="python"))
    with pytest.raises(UserError, match="no docstrings and no commits"):
        pairs.of("docstrings, commits", made, made)
