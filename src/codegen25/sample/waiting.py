"""Who waits: by class, then by arrival."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from codegen25.sample.request import BusyError, Handle

QUEUE = 4096
"""Requests of one class that may wait."""
Entry = tuple[int, int, Handle]


class Waiting:
    """A queue for each class, as one heap."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, handle: Handle) -> None:
        """A new one; a BusyError where its class has too many. Other classes' take none's place."""
        priority = handle.request.priority
        if len(self._heap) >= QUEUE and sum(each[0] == priority for each in self._heap) >= QUEUE:
            raise BusyError(f"{QUEUE} requests are waiting; ask again later")
        self._arrivals += 1
        handle.arrival = self._arrivals
        self.put_back(handle)

    def put_back(self, handle: Handle) -> None:
        """One that came before, at its place."""
        heapq.heappush(self._heap, (int(handle.request.priority), handle.arrival, handle))

    @property
    def first(self) -> Entry | None:
        """The next, with its class."""
        return self._heap[0] if self._heap else None

    def pop(self) -> Handle:
        """Take the next out."""
        return heapq.heappop(self._heap)[2]

    def leave(self, over: Callable[[Handle], str | None]) -> list[tuple[Handle, str]]:
        """Take out those that are `over`; each with the reason."""
        kept: list[Entry] = []
        gone: list[tuple[Handle, str]] = []
        for entry in self._heap:
            if (reason := over(entry[2])) is None:
                kept.append(entry)
            else:
                gone.append((entry[2], reason))
        if gone:
            self._heap = kept
            heapq.heapify(self._heap)
        return gone
