from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train.batches import Ahead, Batch, compose, rows_of


def numbered(step: int) -> Batch:
    one = torch.full((1, 1), step)
    return Batch(one, one, one, None, step)


@pytest.mark.parametrize("workers", [1, 3])
def test_whatever_is_asked_for_comes(workers: int) -> None:
    ahead = Ahead(numbered, 6, workers)
    for steps in ([0, 1, 2], [2, 5], [0], [7, 3, 4]):
        assert [ahead(step).source_bytes for step in steps] == steps
    ahead.close()


def test_the_next_batches_are_composed_meanwhile(tmp_path: Path) -> None:
    def note(step: int) -> Batch:
        (tmp_path / f"{step}").touch()
        return numbered(step)

    ahead = Ahead(note, 3)
    assert ahead(0).source_bytes == 0
    end = time.monotonic() + 60
    while not (tmp_path / "2").exists() and time.monotonic() < end:  # nobody has asked for it
        time.sleep(0.01)
    assert (tmp_path / "2").exists()
    assert not (tmp_path / "3").exists()
    ahead.close()


def test_what_fails_there_fails_here() -> None:
    def broken(step: int) -> Batch:
        raise ValueError(step)

    with pytest.raises(ValueError, match="4"):
        Ahead(broken, 9)(4)


def test_a_fault_of_the_users_comes_in_its_own_words() -> None:
    def torn(step: int) -> Batch:
        if step == 4:
            raise UserError(f"row {step} is damaged")
        return numbered(step)

    ahead = Ahead(torn, 9, 2)
    assert ahead(3).source_bytes == 3
    with pytest.raises(UserError) as caught:
        ahead(4)
    assert str(caught.value) == "row 4 is damaged"


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
