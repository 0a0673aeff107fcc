"""Two processes over gloo give what one gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.train import recipe as recipes
from codegen25.train.log import LOG, read
from codegen25.train.loop import Trainer
from codegen25.train.parallel import World, share_of


@pytest.fixture
def recipe(recipe: Path) -> Path:
    """That of all tests, four steps of it, answers weighing double."""
    text = recipe.read_text()
    recipe.write_text(f"stop_after = 4\n{text}[objective]\nanswer_weight = 2.0\n")
    return recipe


Job = tuple[str, dict[str, str]]
"""The folder of a run, and what it overrides."""


def alone(recipe: Path, out: str, **overrides: str) -> Path:
    run = Trainer(recipes.load(recipe, overrides), recipe.parent / out)
    run.resume()
    assert run.run()
    return run.out


def together(recipe: Path, *jobs: Job) -> None:
    """Do runs one after another on two processes."""
    worker = Path(__file__).with_name("workers.py")
    asked = json.dumps([{"out": out, "set": overrides} for out, overrides in jobs])
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(worker), str(recipe), asked,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path) -> list[float]:
    return [value for e in read(folder / LOG) for key, value in e.items() if "loss" in key]


def looks(folder: Path) -> list[float]:
    return [e["heldout_bits_per_byte"] for e in read(folder / LOG) if "heldout_bits_per_byte" in e]


def assert_equal(one: Path, other: Path) -> None:
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    assert looks(other) == pytest.approx(looks(one), rel=1e-4)
    a, b = (checkpoint.load(folder).model.state_dict() for folder in (one, other))
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=2e-4)


def test_two_processes_give_the_losses_of_one_and_take_over_from_it(recipe: Path) -> None:
    one = alone(recipe, "one")
    assert len(losses(one)) == 4
    alone(recipe, "more", stop_after="2")
    together(
        recipe,
        ("replicated", {}),
        ("sharded", {"shard": "true"}),
        ("recomputed", {"shard": "true", "recompute": "true"}),
        ("fewer", {"shard": "true", "stop_after": "2"}),
        ("more", {"shard": "true"}),
    )
    for name in ("replicated", "sharded", "recomputed"):
        assert_equal(one, recipe.parent / name)
    for taken_over in (recipe.parent / "more", alone(recipe, "fewer")):
        assert losses(taken_over) == pytest.approx(losses(one), rel=1e-5)
        assert looks(taken_over)[-1] == pytest.approx(looks(one)[-1], rel=1e-4)
    facts = [json.loads((recipe.parent / n / "training.json").read_text()) for n in ("more", "one")]
    assert [each["processes"] for each in facts] == [2, 1]


@pytest.mark.slow
def test_the_command_line_on_two_processes(recipe: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "codegen25", "train", str(recipe), "--out", str(recipe.parent / "m"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on 2 processes" in done.stdout and done.stdout.count("saved ") == 1


def test_a_batch_that_does_not_divide_is_said() -> None:
    with pytest.raises(UserError, match="batch 10 cannot be shared by 4 processes"):
        share_of(10, World(0, 4))
    assert share_of(12, World(0, 4)) == 3
