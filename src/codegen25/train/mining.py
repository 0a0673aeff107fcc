"""Instructions mined from a corpus: functions by their docstrings, blocks by the comments above
them, changes by what their commits say.

The corpus decides about licences and leaks; nothing is mined that is not in it. How a function is
asked for is drawn by hash, so that a corpus always gives the same pairs.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from codegen25.data.records.layout import COMMIT_AFTER, COMMIT_BEFORE, COMMIT_MSG
from codegen25.data.shards import TextShard
from codegen25.data.syntax import lines_of, parse
from codegen25.errors import UserError
from codegen25.instruct import question
from codegen25.train.turns import Turn

KINDS = ("docstrings", "comments", "commits")
PROBLEMS = (
    "Create a Python script for this problem:", "Complete this Python function:",
    "Implement this function:",
)  # fmt: skip
"""What stands before a function's head and docstring that are to be completed."""
WITH_DOCSTRING = 0.4
"""Share of the functions that are asked for by their whole docstring, and answered with it."""
CONTINUE = "Continue this Python code."
CHANGE = "Change this code."
SAID, SOURCE, BLOCK, FILE = (20, 400), (60, 1500), (15, 500), 1500
"""Least and most characters of what is asked and answered; the most of a file around a change."""


def named(pairs: str) -> tuple[str, ...]:
    """The kinds that a recipe's `pairs` lists; none where it names a file."""
    kinds = tuple(part.strip() for part in pairs.split(","))
    if set(kinds) & set(KINDS) and (unknown := set(kinds) - set(KINDS)):
        raise UserError(f"pairs: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    return kinds if set(kinds) <= set(KINDS) else ()


def mined(corpus: TextShard, kinds: Sequence[str]) -> list[Turn]:
    """All different pairs of a corpus, in its order."""
    found: dict[Turn, None] = {}
    for i in range(len(corpus)):
        start, end = corpus.start(i), int(corpus.ends[i])
        marks = {name: at for at, name in corpus.marks(start, end)}
        if COMMIT_MSG in marks:
            raw = corpus.raw(start, end)
            turn = of_commit(raw, marks) if "commits" in kinds else None
            found |= {turn: None} if turn else {}
        else:
            found |= dict.fromkeys(of_text(corpus[i], kinds))
    return list(found)


def of_text(text: str, kinds: Sequence[str] = KINDS) -> Iterator[Turn]:
    """The pairs of a Python file's functions; none of what Python can't parse."""
    wanted: list[Callable[[ast.FunctionDef, Sequence[str]], Iterator[Turn]]] = []
    if "docstrings" in kinds and ('"""' in text or "'''" in text):
        wanted.append(_by_docstring)
    if "comments" in kinds and "# " in text:
        wanted.append(_by_comments)
    module = parse(text) if wanted else None
    lines = lines_of(text)
    for node in module.body if module else ():
        if isinstance(node, ast.FunctionDef) and len(lines) >= (node.end_lineno or 0):
            for each in wanted:
                yield from each(node, lines)


def _by_docstring(node: ast.FunctionDef, lines: Sequence[str]) -> Iterator[Turn]:
    docstring = ast.get_docstring(node)
    if not docstring or len(node.body) < 2 or node.name.startswith("_"):
        return
    said = re.split(r"\n\s*\n", docstring)[0].replace("\n", " ").strip()
    if not _fits(said, SAID):
        return
    first, told, body = node.lineno - 1, node.body[0].lineno - 1, _first(node.body[1])
    head, rest = "".join(lines[first:told]), "".join(lines[body : node.end_lineno])
    if not _fits(head + rest, SOURCE) or not head.rstrip().endswith(":") or not parse(head + rest):
        return
    said = said if said.endswith((".", "!", "?", ":")) else said + "."
    drawn, which = _drawn(head + rest)
    whole = "".join(lines[first : node.end_lineno])
    if drawn < WITH_DOCSTRING and _fits(whole, SOURCE):
        given = "".join(lines[first:body]).rstrip()
        yield Turn(question(f"{PROBLEMS[which % len(PROBLEMS)]}\n{given}"), whole)
    elif which % 2:
        asked = question(f"Write this Python function: {said}", head.rstrip())
        yield Turn(asked, head + rest)
    else:
        yield Turn(question(f"Write a Python function called `{node.name}`: {said}"), head + rest)


def _by_comments(node: ast.FunctionDef, lines: Sequence[str]) -> Iterator[Turn]:
    """Each block under a comment that says what it does, asked for with what stands before it."""
    first, end = node.lineno - 1, node.end_lineno or 0
    statements = {_first(each): each.end_lineno or 0 for each in ast.walk(node)
                  if isinstance(each, ast.stmt)}  # fmt: skip
    inside = {
        line
        for each in ast.walk(node)
        if isinstance(each, ast.Constant | ast.JoinedStr)
        for line in range(each.lineno, each.end_lineno or 0)  # of a string of several lines
    }
    at = node.lineno
    while at < end:
        said = [] if at in inside else list(takewhile(_is_comment, lines[at:end]))
        below = at + len(said)
        block = below
        while said and (after := statements.get(block)) is not None:  # to a blank line, or another
            block = after
        comment = " ".join(line.strip().lstrip("#").strip() for line in said)
        before, code = "".join(lines[first:at]), "".join(lines[below:block])
        fitting = _fits(comment, SAID) and _fits(code, BLOCK) and len(before) <= SOURCE[1]
        if fitting and _says_something(comment) and _indent(said[0]) == _indent(code):
            yield Turn(question(f"{CONTINUE} {comment}", before.rstrip()), code)
        at = max(at + 1, below)


def _first(statement: ast.stmt) -> int:
    """The line that a statement begins in, from 0; a decorator's, where it has any."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)]) - 1


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


def of_commit(raw: bytes, marks: dict[str, int]) -> Turn | None:
    """What a change made of a piece of a file, asked for with that and what the commit says."""
    if not {COMMIT_BEFORE, COMMIT_AFTER} <= marks.keys():
        return None
    start, told, after = marks[COMMIT_BEFORE], marks[COMMIT_MSG], marks[COMMIT_AFTER]
    parts = raw[start:told], raw[told:after], raw[after:]
    before, message, now = (part.decode() for part in parts)
    said = message.split("\n", 1)[0].strip()
    if not _fits(said, (10, SAID[1])) or not 0 < len(now) <= FILE or len(before) > FILE:
        return None
    return Turn(question(f"{CHANGE} {said}", before.rstrip("\n")), now)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("# ")


def _says_something(comment: str) -> bool:
    """Whether a comment is a sentence about the code, and neither code itself nor a tool's."""
    tools = re.match(r"(?i)(todo|fixme|xxx|noqa|type:|pylint|pragma|fmt:|mypy|ruff)", comment)
    return tools is None and comment[0].isalpha() and parse(comment) is None


def _fits(text: str, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= len(text) <= bounds[1] and text.isascii()


def _drawn(source: str) -> tuple[float, int]:
    """A number from 0 to 1 and a whole one, by hash."""
    digest = hashlib.sha256(source.encode()).digest()
    return digest[0] / 256, digest[1]
