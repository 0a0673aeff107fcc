"""A document by an editor's positions: lines, and units of some encoding within them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lsprotocol.types import Position, Range

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Text:
    r"""The text of an open document.

    Lines end with `\n`, `\r\n` or `\r` and with nothing else: a form feed ends none. `encoding`
    ("utf-8", "utf-16" or "utf-32") is whose units count the characters of a line.
    """

    content: str
    encoding: str = "utf-16"

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.content))]

    def offset(self, position: Position) -> int:
        """Where a position is; beyond its line it is the line's end, beyond the text its end."""
        if position.line >= len(self._starts):
            return len(self.content)
        start = self._starts[position.line]
        end = (self._starts[position.line + 1 : position.line + 2] or [len(self.content)])[0]
        line = self.content[start:end].rstrip("\r\n")
        return start + _index(line, position.character, self.encoding)

    @property
    def unix(self) -> str:
        r"""With `\n` at the ends of all lines."""
        return unix(self.content)

    def replace(self, where: Range | None, new: str) -> Text:
        """With `new` in the place of a range, or of everything."""
        if where is None:
            return Text(new, self.encoding)
        start, end = self.offset(where.start), self.offset(where.end)
        content = self.content[:start] + new + self.content[max(start, end) :]
        return Text(content, self.encoding)


def unix(text: str) -> str:
    r"""A text whose lines end with `\n`, as those that models were trained on do."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _index(line: str, units: int, encoding: str) -> int:
    """The character at so many units; within a character's units it is that character."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    width = _utf8 if encoding == "utf-8" else _utf16
    for index, char in enumerate(line):
        units -= width(ord(char))
        if units < 0:
            return index
    return len(line)


def _utf16(code: int) -> int:
    return 2 if code > 0xFFFF else 1


def _utf8(code: int) -> int:
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
