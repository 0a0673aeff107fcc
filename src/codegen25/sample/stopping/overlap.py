"""Where an answer repeats what the suffix begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from codegen25.sample.stopping.lexer import is_word
from codegen25.sample.stopping.reader import Reader

LONGEST = 400
TELLING = 12
"""Letters and digits that make a line worth calling the same line as another."""

_COMMON = re.compile(
    r"""\s*(?:@|(?:pass|break|continue|else|elif|try|finally|except|end)\b)"""
    r"""|\s*(?:return|raise|yield)\b(?:\W*\w+){0,2}\W*\Z|.*[(\[{:,]\s*\Z""",
    re.DOTALL,
)
"""Lines that the same function may well have twice."""


class Matcher:
    """Knuth, Morris and Pratt (1977): `state` is the length of the longest beginning of `pattern`
    that the text pushed so far ends in."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.state = 0
        self._border = [0, 0]
        for i in range(1, len(pattern)):
            self._border.append(self._next(self._border[i], pattern[i]))

    def _next(self, state: int, char: str) -> int:
        while state and self.pattern[state] != char:
            state = self._border[state]
        return state + (self.pattern[state] == char)

    def push(self, char: str) -> bool:
        """Take a character; true when the whole pattern has just been read."""
        whole = self.state == len(self.pattern)
        self.state = self._next(self._border[self.state] if whole else self.state, char)
        return self.state == len(self.pattern)

    def lengths(self) -> Iterator[int]:
        """The lengths of all beginnings that the text ends in, longest first."""
        length = self.state
        while length:
            yield length
            length = self._border[length]


class Echo:
    """Ends an answer that writes the suffix's first telling lines; trims what repeats less of it.

    Text counts as repeated from the beginning of a word, and from the line's start if the suffix
    begins with a line; but the rest of the cursor's line with all that follows counts anywhere.
    What repeats less is trimmed only where the answer is as it was at the cursor (not in brackets
    or a string of its own).
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        head, self._telling = _head(reader.suffix)
        blank = head[: len(head) - len(head.lstrip())]
        patterns = dict.fromkeys((head, head[blank.rfind("\n") :] if "\n" in blank else head))
        self._seed = "\n" + reader.line if not reader.line.strip() else ""
        self._matchers = [Matcher(pattern) for pattern in patterns if pattern.strip()]
        for matcher in self._matchers:
            for char in self._seed_of(matcher.pattern):
                matcher.push(char)
        whole_line = "\n" in blank or not reader.line.strip()
        self.reason = "suffix_line" if whole_line else "suffix_overlap"
        self._anywhere = not whole_line

    def feed(self, char: str, at: int) -> int | None:
        """Take a character; the place where the answer ends, if it does."""
        found = None
        for matcher in self._matchers:
            start = at + 1 - len(matcher.pattern)
            whole = matcher.push(char) and self._telling
            if whole and self._placed(matcher.pattern, start):
                found = max(0, start) if found is None else min(found, max(0, start))
        return found

    def held(self, end: int) -> int:
        """From where what is written may turn out to be the suffix."""
        starts = [end]
        for matcher in self._matchers:
            for length in matcher.lengths():
                if self._placed(matcher.pattern, end - length):
                    starts.append(max(0, end - length))
                    break
        return min(starts)

    def finish(self, end: int) -> int | None:
        """Nothing more ends when the answer does; see `trim`."""
        return None

    def trim(self, end: int) -> int:
        """The answer's end without the longest end that the suffix begins with."""
        best = end
        for pattern in (matcher.pattern for matcher in self._matchers):
            low = max(0, end - len(pattern))
            seed = self._seed_of(pattern) if low == 0 else ""
            tail = seed + "".join(self._reader.chars[low:end])
            for length in range(min(len(pattern), len(tail)), 0, -1):
                repeated = pattern[:length]
                if not repeated.strip():
                    break
                if tail.endswith(repeated) and self._apart(pattern, end, length):
                    start = end - length
                    if start < best and self._fits(pattern, start, end):
                        best = max(0, start)
                        break
        return best

    def _seed_of(self, pattern: str) -> str:
        return self._seed if pattern.startswith("\n") else ""

    def _apart(self, pattern: str, end: int, length: int) -> bool:
        """Whether neither the word at the cursor nor the three quotes there are cut in two."""
        last, following = pattern[length - 1], pattern[length : length + 1]
        if is_word(last) and is_word(following) and "\n" not in pattern[:length]:
            return False
        near = self._reader.chars[max(0, end - length - 1) : end]
        before = (self._reader.line + "".join(near))[-length - 1 : -length]
        quotes = self._reader.mode if len(self._reader.mode) == 3 else ""
        return not quotes or quotes[0] not in (before, following)

    def _fits(self, pattern: str, start: int, end: int) -> bool:
        """Whether the answer without what it repeats leaves the suffix what it was."""
        reader = self._reader
        if start < 0:
            return True
        if start and is_word(pattern[0]) and is_word(reader.chars[start - 1]):
            return False
        level = reader.level[start]
        last = reader.closed if end == len(reader.chars) else reader.level[end]
        # A bracket that the answer had to close is not the suffix's.
        closed = level >= reader.to_close or last == level
        return level >= 0 and closed and self._placed(pattern, start)

    def _placed(self, pattern: str, start: int) -> bool:
        """Whether what begins in a line of its own does."""
        reader = self._reader
        if start < 0 or self._anywhere or pattern[0] in "\r\n":
            return True
        if reader.line.strip():
            return not (start and is_word(pattern[0]) and is_word(reader.chars[start - 1]))
        line = start
        while line and reader.chars[line - 1] in " \t":
            line -= 1
        indent = "".join(reader.chars[line:start])
        if line == 0:
            return indent == ""
        return reader.chars[line - 1] == "\n" and indent == reader.line


def _head(suffix: str) -> tuple[str, bool]:
    """The suffix up to the line that tells it from other code, and whether there is such a line."""
    near, letters, lines = suffix[:LONGEST], 0, 0
    for line in re.finditer(r"[^\n]*\n|[^\n]+", near):
        inked = sum(map(str.isalnum, line[0]))
        lines += inked > 0
        letters += 0 if _COMMON.match(line[0]) else inked
        if letters >= TELLING or lines >= 3:
            return near[: line.end()], True
    return near, len(suffix) > LONGEST or sum(map(str.isalnum, near)) >= TELLING // 2
