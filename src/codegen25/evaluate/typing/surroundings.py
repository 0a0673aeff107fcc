"""What stands after the cursor while a file is typed.

The text that the user is about to type must not be there, yet an editor sends the rest of the
file. So one block at a time is taken as being written into a file that is otherwise finished:
after the cursor stand the newline of its line and everything after the block.

In Python the block is the outermost function around the cursor (a method counts, a function in a
function doesn't), its decorators included; elsewhere the statement of the module or class body; a
line that belongs to none (blank, a comment) is a block of its own. Text that isn't Python is cut
into blocks at blank lines.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

MODES = ("block", "line", "none")
"""What is being written: a block, one line only (the next line stands there already), or the whole
rest of the file (nothing stands after the cursor)."""

Suffix = Callable[[int], str]
"""An offset into the file to the text after the cursor there."""


def suffix(text: str, mode: str) -> Suffix:
    """The suffix at every offset of `text`, as `mode` has it."""
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    if mode == "none":
        return lambda offset: ""
    last = list(range(len(lines))) if mode == "line" else blocks(text)

    def after(offset: int) -> str:
        line = text.count("\n", 0, offset)
        # The newline of the cursor's line; the last line of a file may have none.
        end = starts[last[line] + 1] - 1
        return text[end:]

    return after


def blocks(text: str) -> list[int]:
    """The last line of the block that each line belongs to, lines counted from 0."""
    count = text.count("\n") + 1
    last = list(range(count))
    try:
        # Where "\r" alone ends a line, Python counts lines that nobody else sees.
        spans = list(_spans(ast.parse(text).body)) if "\r" not in text.replace("\r\n", "") else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        spans = None
    for first, end in _paragraphs(text.split("\n")) if spans is None else spans:
        for line in range(first, min(end, count - 1) + 1):
            last[line] = min(end, count - 1)
    return last


def _spans(body: Iterable[ast.stmt]) -> Iterator[tuple[int, int]]:
    for node in body:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(each.lineno for each in decorators)]) - 1
        if isinstance(node, ast.ClassDef):
            # The header up to the first statement, so that no method is "already there" too early.
            inner = list(_spans(node.body))
            yield first, max(first, inner[0][0] - 1)
            yield from inner
        else:
            yield first, (node.end_lineno or node.lineno) - 1


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, int]]:
    first = 0
    for number, line in enumerate([*lines, ""]):
        if not line.strip():
            if first < number:
                yield first, number - 1
            first = number + 1
