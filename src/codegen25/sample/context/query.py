"""What stands around a cursor, as the sources of context look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from codegen25.sample.context.words import identifiers

BEFORE, AFTER = 20, 10
"""Lines around the cursor whose identifiers are looked for elsewhere."""
REACH = 200_000
"""Characters before and after the cursor that are looked at."""

_SCOPE = re.compile(
    r"[ \t]*(?:(?:async|export|default|public|private|protected|static|final|abstract|pub|override)"
    r"(?:\([^)\n]*\))?[ \t]+)*"
    r"(?:def|class|function|fn|func|interface|struct|impl|trait|module|enum|object|namespace)\b"
)


@dataclass(frozen=True)
class Query:
    """A cursor in a file: its path, the text before and after, at most `REACH` of each."""

    path: str
    prefix: str
    suffix: str

    @classmethod
    def at(cls, path: str, prefix: str, suffix: str) -> Query:
        """The query of a cursor; of a huge file the beginning, with its imports, stays too."""
        if len(prefix) > REACH:
            prefix = f"{prefix[: REACH // 2]}\n{prefix[-REACH // 2 :]}"
        return cls(path, prefix, suffix[:REACH])

    @cached_property
    def around(self) -> list[str]:
        """The lines near the cursor."""
        before, after = last_lines(self.prefix, BEFORE), self.suffix.split("\n", AFTER)[:AFTER]
        return [*before[:-1], before[-1] + after[0], *after[1:]]

    @cached_property
    def words(self) -> frozenset[str]:
        """The identifiers near the cursor, and of the headers of what it stands in."""
        return identifiers("\n".join([*self.around, *scopes(self.prefix)]))

    @cached_property
    def shown(self) -> frozenset[str]:
        """The lines of the file, which need not be shown again."""
        return telling_lines(f"{self.prefix}\n{self.suffix}")


def last_lines(text: str, count: int) -> list[str]:
    """The last lines of a text; the very last is the one that the cursor is in."""
    return text.rsplit("\n", count)[-count:]


def scopes(prefix: str) -> list[str]:
    """The lines that open the functions and classes around the cursor, the innermost last.

    The cursor's own line is not among them: it is not finished.
    """
    return list(_scopes(prefix))[::-1]


def _scopes(prefix: str) -> Iterator[str]:
    *lines, current = last_lines(prefix, 3000)
    # On an empty line nobody knows yet how deep the user goes: anything above may be open.
    inside = _indent(current) if current.strip() else None
    for line in reversed(lines):
        if not line.strip():
            continue
        indent = _indent(line)
        if inside is None:
            inside = indent + 1 if _SCOPE.match(line) else indent
        if indent < inside and line.lstrip()[:1] not in "#)]}/*":
            inside = indent
            if _SCOPE.match(line):
                yield line
        if inside == 0:
            return


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def telling_lines(text: str) -> frozenset[str]:
    """The lines of a text without their indentation, those of a bracket or a word left out."""
    stripped = (line.strip() for line in text.split("\n"))
    return frozenset(line for line in stripped if len(line) > 8)
