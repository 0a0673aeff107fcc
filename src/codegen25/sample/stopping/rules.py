"""The simpler reasons to end an answer, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from codegen25.sample.stopping.overlap import Matcher
from codegen25.sample.stopping.reader import Reader


class Rule(Protocol):
    """Watches an answer. A place it ends the answer at is never before what `held` returned."""

    @property
    def reason(self) -> str: ...

    def feed(self, char: str, at: int) -> int | None:
        """Take the character at `at`; the place where the answer ends, if it does."""

    def held(self, end: int) -> int:
        """The first place of an answer of `end` characters where this rule may yet end it."""

    def finish(self, end: int) -> int | None:
        """Nothing follows; the place where the answer ends, if that is before `end`."""


class StopStrings:
    """Ends before the first stop string that is complete."""

    reason = "stop_string"

    def __init__(self, strings: Sequence[str]) -> None:
        self._matchers = [Matcher(string) for string in dict.fromkeys(strings)]

    def feed(self, char: str, at: int) -> int | None:
        complete = [matcher for matcher in self._matchers if matcher.push(char)]
        return min((at + 1 - len(each.pattern) for each in complete), default=None)

    def held(self, end: int) -> int:
        return end - max(matcher.state for matcher in self._matchers)

    def finish(self, end: int) -> int | None:
        return None


class SingleLine:
    """Ends before the first newline after something that can be seen.

    Newlines before that pass: after a whole line the editor's user wants the next one. They do not
    where the suffix goes on in the cursor's line, which a newline would tear apart.
    """

    reason = "single_line"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rest = bool(reader.suffix.partition("\n")[0].strip())

    def feed(self, char: str, at: int) -> int | None:
        return at if char == "\n" and (self._rest or self._reader.ink(at)) else None

    def held(self, end: int) -> int:
        return end

    def finish(self, end: int) -> int | None:
        return None


class Brackets:
    """Ends before a closing bracket that closes nothing of the answer's and stands in the suffix.

    Brackets open at the cursor that the suffix does not close are the answer's to close. With
    `first` only a bracket counts that a line begins with, as one more line indented too little.
    """

    def __init__(self, reader: Reader, *, first: bool = False) -> None:
        self.reason = "indent" if first else "brackets"
        self._reader, self._first = reader, first

    def feed(self, char: str, at: int) -> int | None:
        head = self._reader.head
        counts = not self._first or (head is not None and head.word == char)
        return at if self._reader.repeats_closer and counts else None

    def held(self, end: int) -> int:
        return end

    def finish(self, end: int) -> int | None:
        return None
