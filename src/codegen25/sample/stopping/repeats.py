"""Text that goes round in circles."""

from __future__ import annotations

from collections import deque

from codegen25.sample.stopping.reader import Reader

MOST_LINES = 8
"""Lines of the longest block whose repetition is noticed."""

PERIOD, STEP = 32, 8
"""Within a line: the longest period, and how many characters lie between two looks."""

HOLD, END = 24, 160
"""Within a line: characters in a period that are held back, and that end the answer."""


class Repeats:
    """Ends an answer in which lines come six times over, a block of lines three times, or in which
    one line repeats itself for `END` characters. The first occurrence stays."""

    reason = "repetition"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._starts: deque[int] = deque([0], maxlen=3 * MOST_LINES)
        self._runs = [0] * (MOST_LINES + 1)
        self._line: list[str] = []
        self._live: list[tuple[int, str]] = []
        self._circle: int | None = None  # where a line's own repetition began

    def feed(self, char: str, at: int) -> int | None:
        """Take a character; the place where the answer ends, if it does."""
        column = len(self._line)
        self._line.append(char)
        if self._live:
            self._live = [
                (back, line)
                for back, line in self._live
                if column < len(line) and line[column] == char
            ]
        if char == "\n":
            return self._end_line(at + 1)
        if (column + 1) % STEP == 0 and column + 1 >= HOLD:
            return self._look(at + 1)
        return None

    def _end_line(self, end: int) -> int | None:
        line = "".join(self._line)
        found = None
        for back in range(1, len(self._lines) + 1):
            again = self._lines[-back] == line
            self._runs[back] = self._runs[back] + 1 if again else 0
            if self._runs[back] >= max(2 * back, 6 - back) and found is None:
                found = self._starts[-self._runs[back]]
        self._lines.append(line)
        self._starts.append(end)
        self._line.clear()
        self._circle = None
        self._live = [(back, self._lines[-back]) for back in range(1, len(self._lines) + 1)]
        return found

    def _look(self, end: int) -> int | None:
        near = "".join(self._line[-4 * PERIOD :])
        for period in range(1, PERIOD + 1):
            window = near[-max(HOLD, 4 * period) :]
            if len(window) < 4 * period:
                break
            if window[period:] == window[:-period]:
                if self._circle is None:
                    self._circle = end - len(window) + period
                return self._circle if end - self._circle >= END else None
        self._circle = None
        return None

    def held(self, end: int) -> int:
        """From where what is written may turn out to be a repetition."""
        starts = [end]
        if self._circle is not None:
            starts.append(self._circle)
        starts += [self._starts[-1 - self._runs[back]] for back, _ in self._live]
        return min(starts)

    def finish(self, end: int) -> int | None:
        """A circle that is not closed often enough is none."""
        return None
