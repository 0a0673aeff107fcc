"""Keys and values that are kept: sequences with their tokens, found again by their longest common
beginning, forked, cut and evicted, within a bound of memory.

Tokens themselves are compared, never hashes alone, and only with what the same owner left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from codegen25.sample.runner import Keys, Runner

STEP = 256
"""Capacities are multiples of this, so that a growing text is not copied for every token."""
WORTH = 16
"""Tokens in common from which a busy or still useful sequence is worth a copy."""


@dataclass(eq=False)
class Slot:
    """One sequence: its keys and values, and the tokens they are of."""

    keys: Keys
    owner: str
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    length: int = 0
    busy: bool = False
    used: int = 0

    def common(self, ids: np.ndarray) -> int:
        """Length of the longest common beginning with `ids`."""
        most = min(self.length, len(ids))
        differs = self.tokens[:most] != ids[:most]
        first = int(differs.argmax()) if most else 0
        return first if most and differs[first] else most

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        self.length = min(self.length, length)

    def extend(self, ids: Sequence[int]) -> None:
        """The runner has stored these tokens behind the others."""
        self.tokens[self.length : self.length + len(ids)] = ids
        self.length += len(ids)


class Cache:
    """Slots within `bound` bytes."""

    def __init__(self, runner: Runner, bound: int) -> None:
        self.runner, self.bound = runner, bound
        self.slots: list[Slot] = []
        self._clock = 0

    @property
    def bytes(self) -> int:
        """Memory taken by all slots."""
        return sum(slot.keys.bytes for slot in self.slots)

    def longest(self, ids: np.ndarray, owner: str) -> int:
        """How many tokens of a prompt some slot holds."""
        return max((slot.common(ids) for slot in self._of(owner)), default=0)

    def acquire(self, ids: np.ndarray, capacity: int, owner: str, reserve: int = 0) -> Slot | None:
        """A slot of one's own that holds as much of `ids` as is known, with room for `capacity`.

        At least the last token is left to compute. None while others' work fills the memory, or
        all of it but for `reserve` bytes.
        """
        context = self.runner.config.max_position_embeddings
        capacity = max(capacity, min(-(-capacity // STEP) * STEP, context))
        need, busy = self.runner.bytes_of(capacity), self._busy
        if busy and reserve and busy + need + reserve > self.bound:
            return None
        known = [(slot.common(ids), slot.used, -i) for i, slot in enumerate(self._of(owner))]
        common, _, place = max(known, default=(0, 0, 0))
        best = self._of(owner)[-place] if known else None
        common = min(common, len(ids) - 1)
        if best is not None and not best.busy and not self._fork(best, common, capacity):
            self._grow(best, capacity, common)
            return self._take(best, common)
        if not self._room(need, keep=best if common else None):
            return None
        slot = Slot(self.runner.allocate(capacity), owner)
        slot.tokens = np.zeros(capacity, np.int32)
        if best is not None and common:
            slot.keys.copy(best.keys, common)
            slot.tokens[:common] = best.tokens[:common]
            slot.length = common
        self.slots.append(slot)
        return self._take(slot, common)

    def release(self, slot: Slot) -> None:
        """Give a slot back; what it holds may be found again."""
        self._clock += 1
        slot.busy, slot.used = False, self._clock

    def drop(self, slot: Slot) -> None:
        """Forget a slot."""
        self.slots.remove(slot)

    def clear(self) -> None:
        """Forget all that is not in use."""
        self.slots = [slot for slot in self.slots if slot.busy]

    @property
    def _busy(self) -> int:
        """Memory of the slots in use."""
        return sum(slot.keys.bytes for slot in self.slots if slot.busy)

    def _of(self, owner: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.owner == owner]

    def _take(self, slot: Slot, length: int) -> Slot:
        slot.truncate(length)
        slot.busy = True
        return slot

    def _fork(self, slot: Slot, common: int, capacity: int) -> bool:
        """Whether a slot holds much that would be overwritten, and there is room for both."""
        lost = slot.length - common
        if not common:
            return True
        wasteful = lost > max(4 * WORTH, common // 4)
        return wasteful and self.bytes + self.runner.bytes_of(capacity) <= self.bound

    def _grow(self, slot: Slot, capacity: int, common: int) -> None:
        if slot.keys.capacity >= capacity:
            return
        keys = self.runner.allocate(capacity)
        keys.copy(slot.keys, common)
        slot.keys = keys
        slot.tokens = np.concatenate((slot.tokens, np.zeros(capacity, np.int32)))[:capacity]
        # Growing may cross the bound; others' leavings pay for it.
        self._room(0, keep=slot)

    def _room(self, need: int, keep: Slot | None) -> bool:
        """Evict idle slots, the longest unused first, until `need` bytes are free."""
        fixed = self._busy
        if fixed and fixed + need > self.bound:
            return False  # and nothing is thrown away for it
        idle = sorted((s for s in self.slots if not s.busy and s is not keep), key=lambda s: s.used)
        while self.bytes + need > self.bound:
            if idle:
                self.slots.remove(idle.pop(0))
            elif keep is not None and not keep.busy and need:
                self.slots.remove(keep)  # its copy comes first: the caller still holds it
                keep = None
            else:
                return not any(slot.busy for slot in self.slots)
        return True
