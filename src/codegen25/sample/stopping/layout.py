"""Lines that leave the block at the cursor."""

from __future__ import annotations

import re

from codegen25.sample.stopping.lexer import PAIRS, TAB, Head
from codegen25.sample.stopping.reader import Reader

_CONTINUES = frozenset(("else", "elif", "elsif", "except", "rescue", "finally", "ensure", "case"))


class Layout:
    """Ends an answer at the line that is indented too little, or that begins something at column 0.

    Where indentation makes blocks, a line is indented too little when it leaves the function or
    class at the cursor (also one whose head is the cursor's line), or when it is indented less than
    the suffix's first line and opens no block that this line could stand in. Where brackets make
    them, it is when it is indented less than the cursor's line, but for a closing bracket or word
    that the suffix lacks and for labels. Comments belong to what follows them.
    """

    def __init__(self, reader: Reader, *, indent: bool, top_level: bool) -> None:
        self.reason = ""
        self._reader, self._style = reader, reader.style
        self._indent, self._top_level = indent, top_level
        heads = [head for head in reader.before if not (head.inside or head.comment)]
        self._logical = heads
        self._word = heads[-1].word if heads else ""
        self._below = _suffix_head(reader)
        self._aside: Head | None = None  # a comment that may belong to what ends the answer
        self._owner, self._typed, self._body = -1, False, False
        self._away = bool(reader.line)  # from column 0, where top-level code is welcome
        self._base: int | None = None
        line = reader.line
        if reader.in_brackets and heads:
            self._base = heads[-1].indent
        elif line:
            self._base = len(line[: len(line) - len(line.lstrip())].expandtabs(TAB))
        if self._base is not None:
            of_cursor = heads and (reader.in_brackets or heads[-1].start == -len(line))
            self._set_base(self._base, self._word if of_cursor else "")

    def _set_base(self, base: int, word: str) -> None:
        """The cursor's line is indented by `base` columns and begins with `word`, if known."""
        if self._base is None:
            self._away = self._away or base > 0
        self._base = base
        if word in self._style.owners:
            self._owner, self._typed = base, True
            return
        limit = base
        for head in reversed(self._logical):
            if head.indent < limit:
                limit = head.indent
                if head.word in self._style.owners:
                    # Of functions in functions it is the outermost: each may yet end.
                    self._owner = limit if head.word != "class" or self._owner < 0 else self._owner
                    if head.word == "class":
                        return

    def feed(self, char: str, at: int) -> int | None:
        """Take a character; the place where the answer ends, if it does."""
        head = self._reader.head
        return self._judge(head) if head else None

    def held(self, end: int) -> int:
        """From where what is written may yet be a line that ends the answer."""
        reader = self._reader
        held = reader.line_start if reader.heading and reader.line_start > 0 else end
        return self._aside.start if self._aside else held

    def finish(self, end: int) -> int | None:
        """Judge the last line by what is written of it."""
        head = self._reader.head
        found = self._judge(head) if head else None
        if found is None and self._aside and self._indent and self._leaves(self._aside):
            self.reason, found = "indent", self._aside.start
        return found

    def _judge(self, head: Head) -> int | None:
        if head.comment:
            if self._aside is None and self._low(head):
                self._aside = head
            return None
        if head.start > 0:
            if self._top_level and self._begins(head):
                self.reason = "top_level"
            elif self._indent and self._leaves(head):
                self.reason = "indent"
            if self.reason:
                return (self._aside or head).start
        self._aside = None
        if not head.inside:
            typed = head.start < 0 and self._reader.line.strip()
            if self._base is None or typed:
                self._set_base(head.indent, head.word if typed else "")
            self._word = head.word
            self._body = self._body or head.indent > self._owner
            self._lower(head)
        return None

    def _lower(self, head: Head) -> None:
        """A closed block's lines are those around it from now on."""
        word = head.word
        closes = word in PAIRS.values() or word in self._style.closers
        if closes and not self._style.offside and self._base is not None:
            self._base = min(self._base, head.indent)

    def _low(self, head: Head) -> bool:
        """Whether a line of this indentation might end the answer."""
        if head.start <= 0 or head.inside:
            return False
        outside = self._typed and self._body and head.indent <= self._owner
        low = self._indent and self._base is not None and (head.indent < self._base or outside)
        return low or (self._top_level and self._away and head.indent == 0)

    def _begins(self, head: Head) -> bool:
        known = head.indent == 0 and not head.inside and head.word in self._style.tops
        return known and self._away and self._word != "@"

    def _leaves(self, head: Head) -> bool:
        style, indent, word = self._style, head.indent, head.word
        if self._base is None or head.inside or word in PAIRS.values():
            return False
        outside = self._typed and self._body and indent <= self._owner
        if indent >= self._base and not outside:
            return False
        if indent <= self._owner:
            return True
        below, below_word = self._below
        if style.offside:
            return indent < below + (below_word in _CONTINUES) and word not in style.inner
        if word in style.closers:
            return (indent, word) == self._below
        return word not in style.inner


def _suffix_head(reader: Reader) -> tuple[int, str]:
    """Indentation and first word of the suffix's first line that is whole, (-1, "") for none."""
    if len(reader.closes) > len(reader.open):
        return -1, ""  # it begins within brackets that the answer has to open
    line = reader.line
    after = reader.suffix[:4000]
    text = line + after if not line.strip() else after.partition("\n")[2]
    for found in re.finditer(r"^([ \t]*)(\w+|\S)", text, re.MULTILINE):
        if found[2] not in reader.style.comments:
            if found[2] in PAIRS.values() and reader.style.offside:
                return -1, ""
            return len(found[1].expandtabs(TAB)), found[2]
    return -1, ""
