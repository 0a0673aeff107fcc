from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from codegen25.config import ModelConfig
from codegen25.sample.cache import STEP, Cache, Slot
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
