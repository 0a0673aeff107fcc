from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.sample.engine import Engine
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train.loop import LOG, Progress, Trainer
from conftest import Run

RECIPE = """
corpus = "{corpus}"
tokenizer = "{tokenizer}"
epochs = 2.0
batch = 4
micro_batch = 2
dtype = "float32"
[shape]
layers = 2
hidden = 32
heads = 2
context = 128
[schedule]
warmup = 2
"""


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path, tokenizer: Tokenizer) -> Path:
    tokenizer.save(tmp_path / "tokenizer.json")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(corpus=corpus, tokenizer=tmp_path / "tokenizer.json"))
    return path


def trainer(recipe: Path, out: str, **overrides: str) -> Trainer:
    return Trainer(recipes.load(recipe, overrides), recipe.parent / out)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder).model.state_dict()


def test_answers_weigh_what_the_recipe_says_and_the_reported_loss_does_not(recipe: Path) -> None:
    plain, heavy = trainer(recipe, "a"), trainer(recipe, "b", answer_weight="5.0")
    inputs, targets, ones, _ = plain.batch(0)
    weights = heavy.batch(0)[2]
    answers = weights == 5
    assert set(weights.unique().tolist()) == {0.0, 1.0, 5.0} and ones.max() == 1
    logits = heavy.model(inputs).transpose(1, 2)
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    weighted, reported = heavy._loss(inputs, targets, weights)
    torch.testing.assert_close(weighted, each.sum() + 4 * each[answers].sum())
    torch.testing.assert_close(reported, each.sum())
    assert plain.train_step()[0] == heavy.train_step()[0] == pytest.approx(reported.item())
    assert not torch.equal(plain.model.lm_head.weight, heavy.model.lm_head.weight)


def test_training_lowers_the_loss_and_leaves_a_model(recipe: Path) -> None:
    run = trainer(recipe, "m", epochs="4.0")
    before = run.evaluate()
    seen: list[Progress] = []
    assert run.run(seen.append)
    assert run.evaluate() < 0.8 * before
    assert seen[-1].step == seen[-1].steps == run.steps
    engine = Engine.load(recipe.parent / "m")
    assert engine.infill("def f(x):\n    ", "\n", max_tokens=20).tokens >= 1
    log = json.loads((recipe.parent / "m" / LOG).read_text())
    assert log["recipe"]["batch"] == 4 and log["corpus_sha256"] == run.shard.sha256
    assert len(log["history"]) == run.steps and log["epochs"] >= 4


def test_two_runs_are_bit_identical_and_resume_changes_nothing(recipe: Path) -> None:
    trainer(recipe, "whole").run()
    part = trainer(recipe, "part")

    def stop_at(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    assert not part.run(stop_at) and part.step == 3
    again = trainer(recipe, "part")
    again.resume()
    assert again.step == 3 and again.run()
    whole, resumed = weights(recipe.parent / "whole"), weights(recipe.parent / "part")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_micro_batch_changes_no_result(recipe: Path) -> None:
    one, two = trainer(recipe, "a", micro_batch="4"), trainer(recipe, "b", micro_batch="1")
    assert one.train_step()[0] == pytest.approx(two.train_step()[0], rel=1e-5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_resuming_with_another_recipe_says_what_differs(recipe: Path) -> None:
    run = trainer(recipe, "m", epochs="0.2")
    run.run()
    with pytest.raises(UserError, match="epochs, seed differ"):
        trainer(recipe, "m", seed="9").resume()


def test_a_damaged_state_is_named(recipe: Path) -> None:
    trainer(recipe, "m", epochs="0.2").run()
    (recipe.parent / "m/trainer.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"trainer\.pt"):
        trainer(recipe, "m", epochs="0.2").resume()


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(recipe: Path) -> None:
    run = trainer(recipe, "m")
    run.save()
    before = weights(run.out)
    with torch.no_grad():
        run.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="loss is nan at step 0"):
        run.run()
    after = weights(run.out)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_weights_can_be_saved_in_half_and_resume_stays_exact(recipe: Path) -> None:
    run = trainer(recipe, "m", save_dtype="bfloat16", epochs="0.3")
    run.run()
    again = trainer(recipe, "m", save_dtype="bfloat16", epochs="0.3")
    again.resume()
    for a, b in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_gpu_that_is_not_there(recipe: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(UserError, match="no GPU"):
        trainer(recipe, "m", device="cuda")


def test_bad_input_on_the_command_line(run: Run, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run("train", recipe, "--out", tmp_path / "out")[0] == 2
    for extra in (["--set", "epochs"], ["--set", "epoch=1"], ["--set", "corpus=nowhere"]):
        code, _, err = run("train", recipe, "--out", tmp_path / "m", *extra)
        assert code == 2 and err.count("\n") == 1
    assert run("train", recipe, "--out", tmp_path / "m", "--resume")[0] == 2
    code, out, _ = run("train", recipe, "--out", tmp_path / "m", "--spans")
    assert code == 0 and "masked share" in out
    assert not (tmp_path / "m").exists()


def test_sigterm_saves_and_exits_zero(recipe: Path) -> None:
    out = recipe.parent / "m"
    command = [sys.executable, "-m", "codegen25", "train", str(recipe), "--out", str(out)]
    process = subprocess.Popen([*command, "--set", "epochs=10000"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert b"parameters" in first and b"step 1/" in second
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and b"go on with --resume" in rest
    assert checkpoint.load(out).model.config.hidden_size == 32
