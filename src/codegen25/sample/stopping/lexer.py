"""A small hand lexer, one character at a time: strings, comments, brackets, how lines begin.

It knows no regular expression literals, no here-documents, no code nested in string templates, and
no character literals where a lone quote also means something else (Rust, Haskell).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codegen25.sample.stopping.styles import Style

PAIRS = {"(": ")", "[": "]", "{": "}"}
COMMENT, BLOCK = "comment", "block"
TAB = 4


class Lexer:
    """Where code, strings and comments are. `mode` is "" in code, the quotes in a string.

    `stack` holds the brackets that are open, outermost first.
    """

    def __init__(self, style: Style) -> None:
        self.style = style
        self.mode = ""
        self.stack: list[str] = []
        self._before = ""
        self._escaped = False
        self._quotes = 0
        self._first = False
        self._empty = ""
        marks = (style.quotes, style.brackets, *style.comments, *style.block, "\\\r\n")
        self._signs = re.compile(f"[{re.escape(''.join(marks))}]")

    def stride(self, text: str, at: int) -> int:
        """How far one may go on in `text` from `at` and feed on from there, to the same effect."""
        found = self._signs.search(text, at)
        return max(at, (found.start() if found else len(text)) - 1)

    def feed(self, char: str) -> bool:
        """Take one character; true when it is a closing bracket and nothing is open."""
        before, self._before = self._before, char
        if self.mode == "":
            return self._code(char, before)
        if self.mode == COMMENT:
            if char == "\n":
                self.mode = ""
        elif self.mode == BLOCK:
            if before + char == self.style.block[1]:
                self.mode = self._before = ""
        else:
            self._string(char)
        return False

    def _code(self, char: str, before: str) -> bool:
        style, pair = self.style, before + char
        empty, self._empty = self._empty, ""
        if char in style.quotes:
            self.mode = char * 3 if char == empty else char
            self._quotes, self._escaped, self._first = 0, False, True
        elif char in style.comments or pair in style.comments:
            self.mode = COMMENT
        elif pair == style.block[0]:
            self.mode, self._before = BLOCK, ""
        elif char in style.brackets:
            if char in PAIRS:
                self.stack.append(char)
            elif not self.stack:
                return True
            elif PAIRS[self.stack[-1]] == char:
                self.stack.pop()
        return False

    def _string(self, char: str) -> None:
        first, self._first = self._first, False
        if self._escaped:
            self._escaped = char == "\r"  # the newline of a CRLF is escaped too
            self._quotes = 0
        elif char == "\\":
            self._escaped, self._quotes = True, 0
        elif char == self.mode[0]:
            self._quotes += 1
            if self._quotes == len(self.mode):
                self._empty = char if first and char in self.style.tripled else ""
                self.mode = ""
        else:
            self._quotes = 0
            if char == "\n" and len(self.mode) == 1 and self.mode not in self.style.across:
                self.mode = ""


@dataclass(frozen=True)
class Head:
    """How a line that is not blank begins: its offset, its indentation in columns, its first word.

    The word is a run of letters, else one character (or a comment's mark). `inside` says that a
    bracket was open or the line before went on, so that the indentation means nothing.
    """

    start: int
    indent: int
    word: str
    inside: bool
    comment: bool


class Heads:
    """Finds the heads of lines; `feed` goes before the lexer's. Lines that begin in a string or in
    a comment have none."""

    def __init__(self, style: Style, start: int) -> None:
        self._marks = style.comments | {style.block[0]} - {""}
        self._modifiers = style.modifiers
        self._last = ""
        self._begin(start)

    def _begin(self, start: int) -> None:
        self.start, self.indent, self.word = start, 0, ""
        self.looking, self._fresh, self.inside = True, True, False
        self._goes_on = self._last == "\\"

    def feed(self, char: str, at: int, mode: str, inside: bool) -> Head | None:
        """Take the character at `at`, before which the lexer's mode is `mode`."""
        head = None
        if self._fresh:
            self._fresh, self.looking = False, mode == ""
            self.inside = inside or self._goes_on
        if self.looking:
            head = self._look(char)
        if char == "\n":
            self._begin(at + 1)
        if char != "\r":
            self._last = char
        return head

    def _look(self, char: str) -> Head | None:
        if not self.word:
            if char in " \t":
                self.indent += TAB - self.indent % TAB if char == "\t" else 1
            elif not char.isspace():
                self.word = char
                if not is_word(char) and not any(m[0] == char and m[1:] for m in self._marks):
                    return self.finish()
            return None
        if self.word + char in self._marks or (is_word(char) and is_word(self.word[-1])):
            self.word += char
            return self.finish() if self.word in self._marks else None
        if self.word in self._modifiers and char == " ":
            self.word = ""
            return None
        return self.finish()

    def finish(self) -> Head | None:
        """The head of the line as far as it is written, unless it was returned before."""
        word = self.word.strip()
        if not self.looking or not word:
            return None
        self.looking = False
        return Head(self.start, self.indent, word, self.inside, word in self._marks)


def is_word(char: str) -> bool:
    """Whether a character may stand in a name."""
    return char.isalnum() or char == "_"
