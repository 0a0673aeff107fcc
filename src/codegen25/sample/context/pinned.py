"""Context that stays as it is while the cursor stays where it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from codegen25.sample.context.query import scopes

SECONDS = 30.0


class Pinned:
    """Holds the rendered context of one editor session.

    The ids stand in front of the prompt, so the keys and values of all that follows hang on every
    one of them. They are made anew when the cursor moves to another file or function, when the
    budget changes, or after `seconds`; in between typing changes nothing, although it would rank
    other snippets higher. Not for several threads at once.
    """

    def __init__(
        self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._clock = seconds, clock
        self._key: tuple[str, tuple[str, ...], int] | None = None
        self._ids: list[int] = []
        self._made = 0.0

    def ids(self, path: str, prefix: str, budget: int, make: Callable[[], list[int]]) -> list[int]:
        """The held ids, or those of `make()` where they no longer hold."""
        key = (path, tuple(scopes(prefix)), budget)
        now = self._clock()
        if key != self._key or now - self._made >= self._seconds:
            self._ids, self._key, self._made = make(), key, now
        return self._ids

    def drop(self) -> None:
        """Forget what is held: the user saved another file, say."""
        self._key = None
