"""The answer as it grows, read in the light of what stands around the cursor."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
        lines = window[: window.rfind("\n") + 1]
        self._lexer, self._heads, heads = _begun(_read(self.style, lines), -len(window))
        self.before += heads
        self.before += _go_on(
            self._lexer, self._heads, window[len(lines) :], len(lines) - len(window)
        )
        self.mode = self._plain_mode()
        self.open, self._lexer.stack = self._lexer.stack, []
        self.closes = _closers(suffix, self._lexer)
        self.to_close = _to_close(self.open, self.closes)
        self.closed = 0
        self.head: Head | None = None
        self.repeats_closer = False
        self._ink = [0]

    def feed(self, char: str) -> None:
        """Take the next character."""
        at, lexer = len(self.chars), self._lexer
        like_cursor = not lexer.stack and self._plain_mode() == self.mode
        self.level.append(self.closed if like_cursor else -1)
        inside = bool(lexer.stack) or _inside(self.style, self.open)
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
        return _inside(self.style, self.open) or self.mode not in ("", COMMENT)

    def _plain_mode(self) -> str:
        return "" if self._lexer.mode == COMMENT else self._lexer.mode

    def _close(self, char: str) -> bool:
        """Count a bracket that the answer did not open; whether the suffix closes it already."""
        self.closed += 1
        if not self.open:
            return self.closes[:1] == [char]
        if PAIRS[self.open[-1]] != char:
            return False
        self.open.pop()
        return self.closed > self.to_close


@dataclass(frozen=True)
class _State:
    """What is known after some lines: the readers, and the lines' heads by offset."""

    lexer: Lexer
    heads: Heads
    found: tuple[Head, ...]


@lru_cache(maxsize=256)
def _read(style: Style, lines: str) -> _State:
    """Whole lines before the cursor's, read once: a keystroke leaves them as they are."""
    lexer, heads = Lexer(style), Heads(style, 0)
    return _State(lexer, heads, tuple(_go_on(lexer, heads, lines, 0)))


def _begun(state: _State, offset: int) -> tuple[Lexer, Heads, list[Head]]:
    """Readers of one's own that go on behind a state, its offsets moved."""
    lexer, heads = copy.copy(state.lexer), copy.copy(state.heads)
    lexer.stack = [*lexer.stack]
    heads.start += offset
    moved = [Head(h.start + offset, h.indent, h.word, h.inside, h.comment) for h in state.found]
    return lexer, heads, moved


def _go_on(lexer: Lexer, heads: Heads, text: str, offset: int) -> Iterator[Head]:
    """Read on; the heads that are found."""
    at = 0
    while at < len(text):
        if not heads.looking:
            at = lexer.stride(text, at)
        inside = _inside(lexer.style, lexer.stack)
        if head := heads.feed(text[at], at + offset, lexer.mode, inside):
            yield head
        lexer.feed(text[at])
        at += 1


def _inside(style: Style, stack: Sequence[str]) -> bool:
    """Whether indentation means nothing; a brace of a language with braces opens a block."""
    return bool(stack) and (style.offside or stack[-1] != "{")


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
