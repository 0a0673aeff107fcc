"""Which of llama.cpp's slots computes a request: the one that remembers most of its prompt.

llama.cpp would choose too, but not know whose text a slot holds: what one user's prompt left there
must not make another's faster, since time tells. And here a keystroke goes before a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Slot:
    """A place for one sequence; `ids` is the prompt it was last asked, `owner` its owner."""

    index: int
    ids: Sequence[int] = ()
    owner: str | None = None
    busy: bool = False
    used: int = 0


@dataclass(order=True)
class _Waiting:
    priority: int
    order: int
    ids: Sequence[int] = field(compare=False)
    owner: str = field(compare=False)
    granted: asyncio.Future[tuple[Slot, bool]] = field(compare=False)


class Slots:
    """All slots of a server. For one event loop at a time."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(index) for index in range(count)]
        self._queue: list[_Waiting] = []
        self._order = 0

    @property
    def load(self) -> tuple[int, int]:
        """Slots that are busy, and requests that wait for one."""
        waiting = sum(not each.granted.done() for each in self._queue)
        return sum(slot.busy for slot in self._slots), waiting

    @property
    def kept(self) -> list[int]:
        """Tokens that each used slot remembers."""
        return [len(slot.ids) for slot in self._slots if slot.owner is not None]

    def forget(self) -> None:
        """llama.cpp was started anew: no slot remembers anything."""
        for slot in self._slots:
            slot.ids, slot.owner = (), None

    @contextlib.asynccontextmanager
    async def taken(
        self, ids: Sequence[int], owner: str, priority: int
    ) -> AsyncIterator[tuple[int, bool]]:
        """A slot's number, and whether what it remembers may be used; waits until one is free."""
        self._order += 1
        granted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Waiting(priority, self._order, ids, owner, granted))
        self._grant()
        try:
            slot, reuse = await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(granted.result()[0])
            raise
        try:
            yield slot.index, reuse
        finally:
            self._release(slot)

    def _grant(self) -> None:
        while self._queue:
            if self._queue[0].granted.done():  # whoever waited has left
                heapq.heappop(self._queue)
                continue
            free = [slot for slot in self._slots if not slot.busy]
            if not free:
                return
            asked = heapq.heappop(self._queue)
            slot = chosen(free, asked.ids, asked.owner)
            reuse = slot.owner == asked.owner
            self._order += 1
            slot.ids, slot.owner, slot.busy, slot.used = asked.ids, asked.owner, True, self._order
            asked.granted.set_result((slot, reuse))

    def _release(self, slot: Slot) -> None:
        slot.busy = False
        self._grant()


def chosen(free: Sequence[Slot], ids: Sequence[int], owner: str) -> Slot:
    """The slot that remembers at least half of its own text or of the prompt, the most of it;
    otherwise the one that was unused the longest."""
    best = max(free, key=lambda slot: shared(slot, ids, owner))
    common = shared(best, ids, owner)
    if common and 2 * common >= min(len(best.ids), len(ids)):
        return best
    return min(free, key=lambda slot: slot.used)


def shared(slot: Slot, ids: Sequence[int], owner: str) -> int:
    """How many ids a slot remembers of a prompt; none of another owner's."""
    if slot.owner != owner:
        return 0
    pairs = enumerate(zip(slot.ids, ids, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(slot.ids), len(ids)))
