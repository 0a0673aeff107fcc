"""A line on a terminal that says how far a step is."""

from __future__ import annotations

import sys
import time


class Progress:
    """A line on a terminal that says how far a step is."""

    def __init__(self, what: str, whole: int, done: int = 0) -> None:
        self.what, self.whole, self.done = what, whole, done
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if self._terminal and time.monotonic() - self._shown > 0.1:
            self._shown = time.monotonic()
            of = f"/{self.whole}" if self.whole else ""
            print(f"\r\033[K{self.what} {self.done}{of}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._terminal and self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
