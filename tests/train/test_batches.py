from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.shards import TextShard
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train.batches import Ahead, Batch, compose, rows_of


def numbered(step: int) -> Batch:
    one = torch.full((1, 1), step)
    return Batch(one, one, one, None, step)


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(1, 13), st.integers(0, 4))
def test_whatever_is_asked_for_comes(steps: list[int], end: int, depth: int) -> None:
    composed: list[int] = []

    def note(step: int) -> Batch:
        composed.append(step)
        return numbered(step)

    ahead = Ahead(note, end, depth)
    assert [ahead(step).source_bytes for step in steps] == steps
    ahead.close()
    assert all(step < end or step in steps for step in composed)


def test_the_next_batches_are_composed_meanwhile() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(step: int) -> Batch:
        if step:
            begun.set()
            assert go_on.wait(10)
        return numbered(step)

    ahead = Ahead(slow, 3)
    assert ahead(0).source_bytes == 0
    assert begun.wait(10)  # step 1 is at work, and nobody has asked for it
    go_on.set()
    assert ahead(1).source_bytes == 1
    ahead.close()


def test_what_fails_there_fails_here() -> None:
    def broken(step: int) -> Batch:
        raise ValueError(step)

    with pytest.raises(ValueError, match="4"):
        Ahead(broken, 9)(4)


def test_a_batch_is_its_parts_at_any_number_of_processes(
    recipe: Path, tokenizer: Tokenizer
) -> None:
    asked = replace(recipes.load(recipe), batch=4)
    rows = rows_of(asked, TextShard(Path(asked.corpus)), tokenizer)
    whole = compose(rows, asked, 8, 4)
    parts = [compose(rows, asked, 8 + first, 2) for first in (0, 2)]
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
    assert torch.equal(whole.weights, torch.cat([part.weights for part in parts]))
    assert whole.source_bytes == sum(part.source_bytes for part in parts)
