"""Keys and values that are kept: sequences with their tokens, found again by their longest common
beginning, forked, cut and evicted, within a bound of memory.

Tokens themselves are compared, never hashes alone, and only with what the same owner left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from codegen25.sample.request import Priority
from codegen25.sample.runner import Keys, Runner

STEP = 256
"""Capacities are multiples of this, so that a growing text is not copied for every token."""
HEAD = 16
"""Tokens by which sequences are told apart at a glance."""
WORTH = 16
"""Tokens in common from which a busy or still useful sequence is worth a copy."""


@dataclass(eq=False)
class Slot:
    """One sequence: its keys and values, and the tokens they are of.

    `priority` is the class of who used it last; what computes ahead of the typing leaves its slot
    to the typing.
    """

    keys: Keys
    owner: str
    priority: Priority = Priority.TYPING
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

    @property
    def head(self) -> bytes:
        """Its first tokens, to be told from others at a glance."""
        return self.tokens[: min(self.length, HEAD)].tobytes()

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
        return max((slot.common(ids) for slot in self._near(ids, owner)), default=0)

    def acquire(
        self,
        ids: np.ndarray,
        capacity: int,
        owner: str,
        reserve: int = 0,
        priority: Priority = Priority.TYPING,
    ) -> Slot | None:
        """A slot of one's own that holds as much of `ids` as is known, with room for `capacity`.

        At least the last token is left to compute. None while others' work fills the memory, or
        all of it but for `reserve` bytes. So many bytes of what typing left last are not evicted,
        unless there is no room for the request alone beside them.
        """
        capacity = self._rounded(capacity)
        need, busy = self.runner.bytes_of(capacity), self._busy
        if busy and reserve and busy + need + reserve > self.bound:
            return None
        best, common = self._best(ids, owner)
        usable = best if best is not None and common and not best.busy else None
        apart = usable is None or self._wasteful(usable, common, priority)
        if apart and self._room(need, reserve, keep=usable):
            return self._fork(best, common, Slot(self.runner.allocate(capacity), owner, priority))
        if usable is None or not self._grow(usable, capacity, common, reserve):
            return None  # busy ones take it
        return self._take(usable, common, priority)

    def lend(self, capacity: int) -> Slot | None:
        """A slot that holds nothing and is never found; `drop` ends it. None as of `acquire`."""
        if not self._room(self.runner.bytes_of(capacity), 0, keep=None):
            return None
        slot = Slot(self.runner.allocate(capacity), "", busy=True)
        self.slots.append(slot)
        return slot

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

    def fits(self, capacity: int, but: Collection[Slot] = ()) -> bool:
        """Whether those in use, `but` some, leave room for one more when all others are evicted."""
        busy = sum(slot.keys.bytes for slot in self.slots if slot.busy and slot not in but)
        return not busy or busy + self.runner.bytes_of(self._rounded(capacity)) <= self.bound

    def spares(self, capacity: int) -> bool:
        """Whether one more has room beside those in use and what typing left."""
        taken = sum(s.keys.bytes for s in self.slots if s.busy or s.priority is Priority.TYPING)
        return taken + self.runner.bytes_of(self._rounded(capacity)) <= self.bound

    def _rounded(self, capacity: int) -> int:
        context = self.runner.config.max_position_embeddings
        return max(capacity, min(-(-capacity // STEP) * STEP, context))

    @property
    def _busy(self) -> int:
        """Memory of the slots in use."""
        return sum(slot.keys.bytes for slot in self.slots if slot.busy)

    def _near(self, ids: np.ndarray, owner: str) -> list[Slot]:
        """The owner's slots that begin as a prompt does, or else all of them: with a slot for each
        of many who type, comparing every one to its end took longer than computing."""
        own = [slot for slot in self.slots if slot.owner == owner]
        head = ids[:HEAD].astype(np.int32).tobytes()
        return [slot for slot in own if len(ids) >= HEAD and slot.head == head] or own

    def _best(self, ids: np.ndarray, owner: str) -> tuple[Slot | None, int]:
        """Who has most in common with a prompt, the last used of equals, and how much."""
        near = self._near(ids, owner)
        known = [(slot.common(ids), slot.used, -i) for i, slot in enumerate(near)]
        common, _, place = max(known, default=(0, 0, 0))
        return near[-place] if known else None, min(common, len(ids) - 1)

    def _take(self, slot: Slot, length: int, priority: Priority) -> Slot:
        slot.truncate(length)
        slot.busy = True
        ahead = priority > Priority.BATCH  # of the typing
        slot.priority = min(slot.priority, priority) if ahead else priority
        return slot

    def _wasteful(self, slot: Slot, common: int, priority: Priority) -> bool:
        """Whether a slot holds what should not be overwritten: much, or what batch work would."""
        if priority is Priority.BATCH and slot.priority is Priority.TYPING:
            return True
        return slot.length - common > max(4 * WORTH, common // 4)

    def _fork(self, best: Slot | None, common: int, slot: Slot) -> Slot:
        """Begin a new slot with what the best one has in common."""
        slot.tokens = np.zeros(slot.keys.capacity, np.int32)
        if best is not None and common:
            slot.keys.copy(best.keys, common)
            slot.tokens[:common] = best.tokens[:common]
            slot.length = common
        self.slots.append(slot)
        return self._take(slot, common, slot.priority)

    def _grow(self, slot: Slot, capacity: int, common: int, reserve: int) -> bool:
        """Make room for `capacity` in an idle slot; False if there is none, and nothing changes."""
        if slot.keys.capacity >= capacity:
            return True
        more = self.runner.bytes_of(capacity) - slot.keys.bytes
        if not self._room(more, reserve, keep=slot):
            return False
        keys = self.runner.allocate(capacity)
        keys.copy(slot.keys, common)
        slot.keys, tokens = keys, np.zeros(keys.capacity, np.int32)
        tokens[:common] = slot.tokens[:common]
        slot.tokens, slot.length = tokens, common
        return True

    def _room(self, need: int, reserve: int, keep: Slot | None) -> bool:
        """Evict idle slots but `keep`, the longest unused first, until `need` bytes are free.

        For who leaves a reserve, typing's go last, and those that fill the reserve not at all.
        """
        fixed = self._busy + (keep.keys.bytes if keep is not None else 0)
        if fixed and fixed + need > self.bound:
            return False  # and nothing is thrown away for it
        idle = sorted((s for s in self.slots if not s.busy and s is not keep), key=lambda s: s.used)
        if reserve:
            typing = [s for s in idle if s.priority is Priority.TYPING]
            idle = [s for s in idle if s.priority is not Priority.TYPING]
            idle += _beyond(typing, reserve, self.bound - fixed - need)
        while self.bytes + need > self.bound and idle:
            self.slots.remove(idle.pop(0))
        return True


def _beyond(slots: list[Slot], reserve: int, room: int) -> list[Slot]:
    """All but the last of `slots` that fill the reserve, as far as there is room for them."""
    held, beyond = 0, list[Slot]()
    for slot in reversed(slots):
        if held < reserve and held + slot.keys.bytes <= room:
            held += slot.keys.bytes
        else:
            beyond.insert(0, slot)
    return beyond
