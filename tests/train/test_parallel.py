"""Two processes over gloo give what one gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from workers import probe

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.train import recipe as recipes
from codegen25.train.log import ANSWERS, LOG, TEXT, read
from codegen25.train.loop import Trainer
from codegen25.train.parallel import BUCKET, World, buckets, share_of


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
    assert run.run(probe=probe)
    return run.out


def together(recipe: Path, *jobs: Job) -> None:
    """Do runs one after another on two processes; of "full" ones memory is full while they look."""
    worker = Path(__file__).with_name("workers.py")
    asked = json.dumps(
        [{"out": out, "set": overrides, "full": out == "full"} for out, overrides in jobs]
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(worker), str(recipe), asked,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in read(folder / LOG) if "loss" in entry]


def looks(folder: Path) -> list[float]:
    """Of every look held-out text, and answers where there are any."""
    return [
        entry[name] for entry in read(folder / LOG) for name in (TEXT, ANSWERS) if name in entry
    ]


def norms(folder: Path) -> list[float]:
    return [entry["gradient_norm"] for entry in read(folder / LOG) if "loss" in entry]


def assert_equal(one: Path, other: Path) -> None:
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    # AdamW and Muon take no notice of a factor on all gradients; their norm does.
    assert norms(other) == pytest.approx(norms(one), rel=1e-4)
    assert looks(other) == pytest.approx(looks(one), rel=1e-4)
    a, b = (checkpoint.load(folder).model.state_dict() for folder in (one, other))
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-3, atol=2e-4)


def test_two_processes_give_the_losses_of_one_and_take_over_from_it(recipe: Path) -> None:
    one = alone(recipe, "one")
    assert len(losses(one)) == 4
    averaged = {"ema": "0.8", "evaluate_every": "2"}
    mean = alone(recipe, "mean", **averaged)
    alone(recipe, "more", stop_after="2")
    together(
        recipe,
        ("replicated", {"dtype": "auto"}),  # which the two would choose differently
        ("sharded", {"shard": "true"}),
        ("recomputed", {"shard": "true", "recompute": "true"}),
        ("fewer", {"shard": "true", "stop_after": "2"}),
        ("more", {"shard": "true"}),
        ("full", {"shard": "true"}),
        ("averaged", averaged | {"shard": "true"}),
    )
    for name in ("replicated", "sharded", "recomputed"):
        assert_equal(one, recipe.parent / name)
    assert_equal(mean, recipe.parent / "averaged")
    assert len(looks(mean)) == 2
    for taken_over in (recipe.parent / "more", alone(recipe, "fewer")):
        assert losses(taken_over) == pytest.approx(losses(one), rel=1e-5)
        assert looks(taken_over)[-1] == pytest.approx(looks(one)[-1], rel=1e-4)
    facts = {
        n: json.loads((recipe.parent / n / "training.json").read_text()) for n in ("more", "one")
    }
    assert [each["processes"] for each in facts.values()] == [2, 1]
    # Infills are looked at on many processes as on one; why not, is said once.
    for name in ("replicated", "sharded", "recomputed"):
        look = read(recipe.parent / name / LOG)[-1]
        assert look["mean_loss"] == pytest.approx(read(one / LOG)[-1]["mean_loss"], rel=1e-4)
    assert "mean_loss" not in read(recipe.parent / "full" / LOG)[-1]
    said = {n: json.loads((recipe.parent / n / "said.json").read_text()) for n in ("full", "more")}
    assert said["more"] == [] and len(said["full"]) == 1
    assert "infills of held-out lines are not looked at: the whole model takes" in said["full"][0]


@pytest.mark.slow
def test_two_processes_adapt_a_model_to_pairs_as_one_does(recipe: Path, model_dir: Path) -> None:
    pairs = recipe.parent / "pairs.jsonl"
    rows = ({"instruction": f"Add {i}.", "output": f"x + {i}\n" * (1 + i % 7)} for i in range(600))
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {
        "init": str(model_dir), "pairs": str(pairs), "lora.rank": "4", "optimizer.adam_lr": "0.01",
    }  # fmt: skip
    one = alone(recipe, "one", **asked)
    together(recipe, ("replicated", asked), ("sharded", asked | {"shard": "true"}))
    assert len(looks(one)) == 2
    assert len(losses(one)) == 4 and losses(one)[0] != pytest.approx(losses(one)[3], rel=1e-3)
    for name in ("replicated", "sharded"):
        assert_equal(one, recipe.parent / name)


def test_gradients_are_summed_a_bucket_at_a_time() -> None:
    big = torch.empty(BUCKET // 4, device="meta")
    small = [torch.empty(5, device="meta") for _ in range(3)]
    given = [small[0], big, small[1], small[2], big]
    found = list(buckets(given))
    assert [tensor for bucket in found for tensor in bucket] == given
    assert [len(bucket) for bucket in found] == [1, 1, 2, 1]
    assert list(buckets([])) == []


@pytest.mark.slow
def test_the_command_line_on_two_processes(recipe: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "codegen25", "train", str(recipe), "--out", str(recipe.parent / "m"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on 2 processes" in done.stdout and done.stdout.count("saved ") == 1
    assert "of single lines stopped" in done.stdout


def test_a_batch_that_does_not_divide_is_said() -> None:
    with pytest.raises(UserError, match="batch 10 cannot be shared by 4 processes"):
        share_of(10, World(0, 4))
    assert share_of(12, World(0, 4)) == 3
