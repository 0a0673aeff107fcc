from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.config import ModelConfig
from codegen25.sample.cache import STEP, Cache, Slot
from codegen25.sample.request import Priority
from codegen25.sample.runner import Keys, Run


class FakeKeys(Keys):
    def __init__(self, capacity: int) -> None:
        self.capacity, self.held = capacity, [0] * capacity

    @property
    def bytes(self) -> int:
        return self.capacity

    def copy(self, source: Keys, length: int) -> None:
        assert isinstance(source, FakeKeys)
        self.held[:length] = source.held[:length]


class FakeRunner:
    """A byte a token, which holds the token itself."""

    config = ModelConfig(8, 4, 4, 1, 1, 1, 4)
    kind, device, name, rows, most_bytes = "fake", "cpu", "fake", 4, 1 << 40

    def allocate(self, capacity: int) -> Keys:
        return FakeKeys(capacity)

    def bytes_of(self, capacity: int) -> int:
        return capacity

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        raise NotImplementedError


def fill(slot: Slot, ids: list[int]) -> None:
    for token in ids[slot.length :]:
        slot.keys.held[slot.length] = token  # type: ignore[attr-defined]
        slot.extend([token])


def ask(cache: Cache, ids: list[int], owner: str = "") -> Slot:
    slot = cache.acquire(np.array(ids, np.int32), len(ids) + 10, owner)
    assert slot is not None
    return slot


def test_a_beginning_in_common_is_found_and_the_last_token_is_left() -> None:
    cache = Cache(FakeRunner(), 10 * STEP)
    slot = ask(cache, [1, 2, 3])
    assert slot.length == 0
    fill(slot, [1, 2, 3])
    cache.release(slot)
    assert cache.longest(np.array([1, 2, 9]), "") == 2
    again = ask(cache, [1, 2, 3])
    assert again is slot and again.length == 2
    cache.release(again)
    assert ask(cache, [1, 2, 9, 9]).length == 2


def test_a_busy_slot_is_copied() -> None:
    cache = Cache(FakeRunner(), 10 * STEP)
    slot = ask(cache, [1, 2, 3, 4])
    fill(slot, [1, 2, 3, 4])
    other = ask(cache, [1, 2, 3, 7])
    assert other is not slot and other.length == 3
    assert other.keys.held[:3] == [1, 2, 3]  # type: ignore[attr-defined]


def test_owners_do_not_see_each_other() -> None:
    cache = Cache(FakeRunner(), 10 * STEP)
    slot = ask(cache, [1, 2, 3], "a")
    fill(slot, [1, 2, 3])
    cache.release(slot)
    assert cache.longest(np.array([1, 2, 3]), "b") == 0
    assert ask(cache, [1, 2, 3], "b").length == 0


def test_a_long_past_is_kept_beside_a_short_common_beginning() -> None:
    cache = Cache(FakeRunner(), 10 * STEP)
    long = list(range(200))
    slot = ask(cache, long)
    fill(slot, long)
    cache.release(slot)
    other = ask(cache, [0, 1, 2, 500])
    assert other is not slot and other.length == 3 and slot.length == 200


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    cache = Cache(FakeRunner(), 3 * STEP)
    slots = []
    for i in range(3):
        slots.append(ask(cache, [i * 10 + 1, 5]))
        fill(slots[-1], [i * 10 + 1, 5])
    assert cache.acquire(np.array([77, 1]), 5, "") is None  # all busy
    for slot in slots:
        cache.release(slot)
    new = ask(cache, [99, 1])
    assert slots[0] not in cache.slots and new in cache.slots and cache.bytes <= 3 * STEP


@pytest.mark.parametrize("seed", range(20))
def test_what_a_slot_holds_is_what_its_tokens_say(seed: int) -> None:
    rng = Random(seed)
    cache = Cache(FakeRunner(), 6 * STEP)
    busy: list[Slot] = []
    for _ in range(300):
        if busy and (len(busy) == 4 or rng.random() < 0.5):
            cache.release(busy.pop(rng.randrange(len(busy))))
            continue
        ids = [rng.randrange(3) for _ in range(rng.randrange(1, 60))]
        slot = cache.acquire(np.array(ids, np.int32), len(ids) + 5, rng.choice("ab"))
        if slot is None:
            continue
        assert slot.tokens[: slot.length].tolist() == ids[: slot.length] and slot.length < len(ids)
        fill(slot, ids)
        for each in cache.slots:
            held = each.keys.held[: each.length]  # type: ignore[attr-defined]
            assert held == each.tokens[: each.length].tolist()
        assert cache.bytes <= cache.bound
        busy.append(slot)


def test_what_is_reserved_stays_free_for_others() -> None:
    cache = Cache(FakeRunner(), 4 * STEP)
    first = cache.acquire(np.array([1, 2], np.int32), STEP, "", reserve=3 * STEP)
    assert first is not None
    # One more of a kind that reserves would leave too little; one that does not takes it.
    assert cache.acquire(np.array([3, 4], np.int32), STEP, "", reserve=3 * STEP) is None
    assert cache.acquire(np.array([3, 4], np.int32), STEP, "", reserve=2 * STEP) is not None
    assert cache.acquire(np.array([5, 6], np.int32), 2 * STEP, "") is not None
    cache = Cache(FakeRunner(), STEP)
    alone = cache.acquire(np.array([1], np.int32), STEP, "", reserve=STEP)
    assert alone is not None  # nothing else is computed: waiting would be for ever


def left(cache: Cache, ids: list[int], priority: Priority = Priority.TYPING) -> Slot:
    """What a request leaves behind."""
    reserve = STEP if priority else 0
    slot = cache.acquire(np.array(ids, np.int32), STEP, "", reserve, priority)
    assert slot is not None
    fill(slot, ids)
    cache.release(slot)
    return slot


def test_a_full_cache_gives_up_the_oldest_and_not_the_best() -> None:
    cache = Cache(FakeRunner(), 3 * STEP)
    oldest, middle, best = (left(cache, [i, *range(100, 240)]) for i in (1, 2, 3))
    other = ask(cache, [3, 9, 9])
    assert other is not best and other.length == 1
    assert cache.slots == [middle, best, other] and oldest not in cache.slots
    assert best.length == 141 and cache.bytes == cache.bound


def test_where_there_is_room_for_one_alone_the_best_is_overwritten() -> None:
    cache = Cache(FakeRunner(), STEP)
    best = left(cache, [3, *range(100, 240)])
    other = ask(cache, [3, 9, 9])
    assert other is best and other.length == 1 and cache.bytes == cache.bound


def test_batch_work_leaves_typing_what_is_reserved() -> None:
    cache = Cache(FakeRunner(), 4 * STEP)
    typed = [left(cache, [i, 2, 3]) for i in range(4)]
    batch = [
        cache.acquire(np.array([i, 7], np.int32), STEP, "", STEP, Priority.BATCH)
        for i in range(10, 14)
    ]
    assert [slot is not None for slot in batch] == [True, True, True, False]
    assert [slot in cache.slots for slot in typed] == [False, False, False, True]
    for slot in batch[:3]:
        assert slot is not None
        cache.release(slot)
    for i in range(20, 52):
        left(cache, [i, 7, 7], Priority.BATCH)
    assert cache.longest(np.array([3, 2, 3]), "") == 3 and cache.bytes == cache.bound
    for i in range(60, 64):
        left(cache, [i, 7, 7])
    assert typed[-1] not in cache.slots  # typing itself takes the oldest


def test_batch_work_copies_what_was_typed_and_what_runs_ahead_leaves_it_to_typing() -> None:
    cache = Cache(FakeRunner(), 4 * STEP)
    typed = left(cache, [1, 2, 3])
    assert left(cache, [1, 2, 4], Priority.BATCH) is not typed and typed.length == 3
    assert left(cache, [1, 2, 3, 4], Priority.WARM) is typed
    assert typed.priority is Priority.TYPING


def test_the_reserve_keeps_nobody_from_going_on_alone() -> None:
    cache = Cache(FakeRunner(), 2 * STEP)
    left(cache, [1, 2, 3])
    slot = cache.acquire(np.array([7], np.int32), 2 * STEP, "", STEP, Priority.BATCH)
    assert slot is not None and cache.bytes == cache.bound


class Counting(FakeRunner):
    """Notes what the cache takes when a sequence is allocated, that one included."""

    cache: Cache
    most = 0

    def allocate(self, capacity: int) -> Keys:
        self.most = max(self.most, self.cache.bytes + capacity)
        return super().allocate(capacity)


def test_growing_evicts_first_and_is_refused_where_others_are_busy() -> None:
    runner = Counting()
    runner.cache = cache = Cache(runner, 4 * STEP)
    left(cache, [9, 9])
    busy = ask(cache, [8, 8])
    slot = left(cache, [1, 2, 3])
    longer = np.array([1, 2, 3, 4], np.int32)
    assert cache.acquire(longer, 4 * STEP, "") is None
    assert slot.length == 3 and len(cache.slots) == 3 and cache.bytes == 3 * STEP
    grown = cache.acquire(longer, 3 * STEP, "")
    assert grown is slot and grown.length == 3 and cache.slots == [busy, slot]
    assert cache.bytes == cache.bound and len(slot.tokens) == 3 * STEP
    # The old one is held until it is copied, but nothing of others beside it.
    assert runner.most <= cache.bound + STEP


def test_what_is_lent_counts_and_is_not_found() -> None:
    cache = Cache(FakeRunner(), 2 * STEP)
    left(cache, [1, 2]), left(cache, [3, 4])
    lent = cache.lend(STEP)
    assert lent is not None and cache.bytes == cache.bound
    assert ask(cache, [3, 4]) is not lent and cache.lend(STEP) is None
    cache.drop(lent)
    assert cache.lend(STEP) is not None


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(0, 30), st.integers(0, 9))
def test_the_longest_beginning_is_found_at_a_glance_too(
    shared: list[int], asked: int, own: int
) -> None:
    """Sequences that agree on so many ids, then differ: shorter, as long and longer than a head."""
    cache = Cache(FakeRunner(), 1 << 30)
    prompt = np.array([1] * asked + [2] * own, np.int32)
    for number, length in enumerate(shared):
        slot = Slot(cache.runner.allocate(64), "")
        slot.tokens = np.zeros(64, np.int32)
        slot.extend([1] * length + [3 + number] * 3)
        cache.slots.append(slot)
    by_hand = max(slot.common(prompt) for slot in cache.slots)
    assert cache.longest(prompt, "") == by_hand
    best, common = cache._best(prompt, "")
    assert best is not None and best.common(prompt) == by_hand
    assert common == min(by_hand, len(prompt) - 1)
