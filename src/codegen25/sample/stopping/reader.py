"""The answer as it grows, read in the light of what stands around the cursor."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from codegen25.sample.stopping.lexer import COMMENT, PAIRS, Head, Heads, Lexer
from codegen25.sample.stopping.styles import OTHER, STYLES, Style

BEFORE, AFTER = 4000, 2000
"""Characters around the cursor that are read."""


class Reader:
    """The characters of an answer and, for each place, what a rule may want to know of it.

    `level[i]` is -1 where the place before character i is not like the cursor (in a string that the
    answer opened, in brackets it opened); else the number of brackets closed so far that were open
    at the cursor.
    """

    def __init__(self, prefix: str, suffix: str, language: str) -> None:
        self.style: Style = STYLES.get(language, OTHER)
        self.line = prefix[prefix.rfind("\n") + 1 :]
        self.suffix = suffix
        self.chars: list[str] = []
        self.level: list[int] = []
        self.before: list[Head] = []
        window = _window(prefix)
        self._lexer = Lexer(self.style)
        self._heads = Heads(self.style, -len(window))
        self._read_prefix(window)
        self.mode = self._plain_mode()
        self.open, self._lexer.stack = self._lexer.stack, []
        self.closes = _closers(suffix, self._lexer)
        self.to_close = _to_close(self.open, self.closes)
        self.closed = 0
        self.head: Head | None = None
        self.repeats_closer = False
        self._ink = [0]

    def _read_prefix(self, window: str) -> None:
        lexer, heads, at = self._lexer, self._heads, 0
        while at < len(window):
            if not heads.looking:
                at = lexer.stride(window, at)
            inside = self._inside(lexer.stack)
            if head := heads.feed(window[at], at - len(window), lexer.mode, inside):
                self.before.append(head)
            lexer.feed(window[at])
            at += 1

    def feed(self, char: str) -> None:
        """Take the next character."""
        at, lexer = len(self.chars), self._lexer
        like_cursor = not lexer.stack and self._plain_mode() == self.mode
        self.level.append(self.closed if like_cursor else -1)
        inside = bool(lexer.stack) or self._inside(self.open)
        self.head = self._heads.feed(char, at, lexer.mode, inside)
        self.repeats_closer = lexer.feed(char) and self._close(char)
        self.chars.append(char)
        self._ink.append(self._ink[-1] if char.isspace() else at + 1)

    def finish(self) -> None:
        """The answer ends here: its last line's head is what is written of it."""
        self.head, self.repeats_closer = self._heads.finish(), False

    def ink(self, end: int) -> int:
        """Where the white space begins that the first `end` characters end in."""
        return self._ink[end]

    @property
    def heading(self) -> bool:
        """Whether the current line's head is still unknown."""
        return self._heads.looking

    @property
    def line_start(self) -> int:
        """Where the current line begins; not positive for the cursor's own."""
        return self._heads.start

    @property
    def in_brackets(self) -> bool:
        """Whether the cursor's line goes on a line before it, as brackets or strings do."""
        return self._inside(self.open) or self.mode not in ("", COMMENT)

    def _plain_mode(self) -> str:
        return "" if self._lexer.mode == COMMENT else self._lexer.mode

    def _inside(self, stack: Sequence[str]) -> bool:
        """Whether indentation means nothing; a brace of a language with braces opens a block."""
        return bool(stack) and (self.style.offside or stack[-1] != "{")

    def _close(self, char: str) -> bool:
        """Count a bracket that the answer did not open; whether the suffix closes it already."""
        self.closed += 1
        if not self.open:
            return self.closes[:1] == [char]
        if PAIRS[self.open[-1]] != char:
            return False
        self.open.pop()
        return self.closed > self.to_close


def _window(prefix: str) -> str:
    """The last of a prefix, from a line at column 0 if there is one."""
    if len(prefix) <= BEFORE:
        return prefix
    near = prefix[-BEFORE:]
    found = re.search(r"\n(?=[^\s)\]}'\"#])", near) or re.search(r"\n", near)
    return near[found.end() :] if found else near


def _closers(suffix: str, at_cursor: Lexer) -> list[str]:
    """The brackets that the suffix closes and does not open, up to where the next thing begins."""
    lexer = copy.copy(at_cursor)
    lexer.stack = []
    near = suffix[:AFTER]
    tops = "|".join(map(re.escape, lexer.style.tops))
    if tops and (next_top := re.search(rf"\n(?:{tops})", near)):
        near = near[: next_top.start()]
    found, at = [], 0
    while at < len(near):
        at = lexer.stride(near, at)
        if lexer.feed(near[at]):
            found.append(near[at])
        at += 1
    return found


def _to_close(opened: Sequence[str], closes: Sequence[str]) -> int:
    """How many of the open brackets, innermost first, the suffix leaves to the answer."""

    def fits(left: int) -> bool:
        rest = reversed(opened[: len(opened) - left])
        return all(PAIRS[bracket] == char for bracket, char in zip(rest, closes, strict=False))

    exact = len(opened) - len(closes)
    if exact >= 0 and fits(exact):
        return exact
    return next(left for left in range(len(opened) + 1) if fits(left))
