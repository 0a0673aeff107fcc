from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from codegen25 import checkpoint, directory, memory, seal
from codegen25.errors import UserError
from codegen25.sample.engine import Engine
from codegen25.train import loop, state
from codegen25.train import recipe as recipes
from codegen25.train.log import LOG, read
from codegen25.train.loop import Progress, Trainer
from conftest import Run


def trainer(recipe: Path, out: str, **overrides: str) -> Trainer:
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    return Trainer(recipes.load(recipe, named), recipe.parent / out)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder).model.state_dict()


def test_answers_weigh_what_the_recipe_says_and_the_reported_loss_does_not(recipe: Path) -> None:
    plain, heavy = trainer(recipe, "a"), trainer(recipe, "b", objective__answer_weight="5.0")
    batch, weights = plain.batch(0), heavy.batch(0).weights
    inputs, targets, ones = batch.inputs, batch.targets, batch.weights
    answers = weights == 5
    assert set(weights.unique().tolist()) == {0.0, 1.0, 5.0} and ones.max() == 1
    logits = heavy.model(inputs).transpose(1, 2)
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    weighted, reported = heavy._loss(inputs, targets, weights)
    torch.testing.assert_close(weighted, each.sum() + 4 * each[answers].sum())
    torch.testing.assert_close(reported, each.sum())
    assert plain.train_step().nats == heavy.train_step().nats == pytest.approx(reported.item())
    assert not torch.equal(plain.model.lm_head.weight, heavy.model.lm_head.weight)


def test_the_averaged_weights_are_what_is_saved(recipe: Path) -> None:
    run = trainer(recipe, "m", ema="0.9", stop_after="6", save_dtype="float32")
    assert run.run()
    saved = weights(recipe.parent / "m")
    for name, own in run.model.named_parameters():
        assert torch.equal(saved[name], run.average[name])
        assert not torch.equal(saved[name], own)


def test_a_gradient_that_is_no_number_stops_before_the_step(recipe: Path) -> None:
    run = trainer(recipe, "m")
    run.save()
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    handle = run.model.model.norm.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(UserError, match=r"gradient's norm is (inf|nan) at step 0; .*stands"):
        run.train_step()
    handle.remove()
    assert all(torch.equal(before[name], p) for name, p in run.model.named_parameters())


def test_a_run_killed_before_its_first_checkpoint_leaves_no_entries(recipe: Path) -> None:
    run = trainer(recipe, "m", stop_after="2")
    run.out.mkdir()
    (run.out / "log.jsonl").write_text('{"step": 1, "loss": 3.0}\n')
    assert trainer(recipe, "m", stop_after="2").run()
    lines = (run.out / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"loss"' in line]
    assert steps == [1, 2]


def test_training_lowers_the_loss_and_leaves_a_model(recipe: Path) -> None:
    run = trainer(recipe, "m", epochs="4.0")
    before = run.evaluate()
    seen: list[Progress] = []
    assert run.run(seen.append)
    assert run.evaluate() < 0.8 * before
    assert seen[-1].step == seen[-1].steps == run.steps
    engine = Engine.load(recipe.parent / "m")
    assert engine.infill("def f(x):\n    ", "\n", max_tokens=20).tokens >= 1
    facts = json.loads((recipe.parent / "m" / directory.FACTS).read_text())
    assert facts["recipe"]["batch"] == 4 and facts["corpus_sha256"] == run.shard.sha256
    assert facts["epochs"] >= 4
    *steps, look = read(recipe.parent / "m" / LOG)
    assert [entry["step"] for entry in steps] == list(range(1, run.steps + 1))
    assert look["heldout_bits_per_byte"] == run.evaluate()


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
    assert one.train_step().nats == pytest.approx(two.train_step().nats, rel=1e-5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_resuming_with_another_recipe_says_what_differs(recipe: Path) -> None:
    run = trainer(recipe, "m", epochs="0.2")
    run.run()
    with pytest.raises(UserError, match="epochs, seed differ"):
        trainer(recipe, "m", seed="9").resume()


def in_two(recipe: Path, out: str, **overrides: str) -> Trainer:
    """A run with checkpoints after steps 2 and 4."""
    run = trainer(recipe, out, evaluate_every="2", stop_after="4", **overrides)
    run.run()
    return run


def damage_state(folder: Path) -> None:
    file = max((folder / state.STATE).glob("*.distcp"))
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_state, "distcp is damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "safetensors is damaged"),
        (lambda f: (f / directory.FACTS).unlink(), "cannot be read"),
        (lambda f: (f / seal.SUMS).write_text("{"), "is damaged"),
        (lambda f: (f / seal.SUMS).unlink(), "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    recipe: Path, damage: Callable[[Path], object], named: str
) -> None:
    whole = in_two(recipe, "m")
    first, last = state.steps(whole.out)
    damage(last)
    again = trainer(recipe, "m", evaluate_every="2", stop_after="4")
    said: list[str] = []
    assert again.resume(said.append) and again.step == 2
    assert len(said) == 1 and last.name in said[0] and named in said[0]
    again.run()
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    for folder in (first, last):
        damage_state(folder)
    with pytest.raises(UserError, match="no checkpoint is whole"):
        trainer(recipe, "m", evaluate_every="2", stop_after="4").resume()


def test_checkpoints_that_stay(recipe: Path) -> None:
    run = trainer(recipe, "m", evaluate_every="1", stop_after="6", keep_last="2")
    run.run()
    assert [folder.name[-1] for folder in state.steps(run.out)] == ["5", "6"]
    kept = trainer(
        recipe, "k", evaluate_every="1", stop_after="6", keep_last="1", keep_best="true",
        optimizer__adam_lr="0.2", optimizer__muon_lr="0.4", schedule__warmup="6",
    )  # fmt: skip
    kept.run()
    looks = [e for e in read(kept.out / LOG) if "heldout_bits_per_byte" in e]
    best = min(looks, key=lambda e: e["heldout_bits_per_byte"])["step"]
    assert (kept.out / "checkpoints/best").resolve().name == f"step-{best:08}"
    assert {f.name for f in state.steps(kept.out)} == {f"step-{n:08}" for n in (best, 6)}
    assert weights(kept.out / "checkpoints/best")


def test_every_checkpoint_is_a_model_and_the_newest_is_the_runs(recipe: Path) -> None:
    run = in_two(recipe, "m")
    first, last = state.steps(run.out)
    newest = weights(run.out)
    assert all(torch.equal(newest[name], tensor) for name, tensor in weights(last).items())
    assert not torch.equal(newest["lm_head.weight"], weights(first)["lm_head.weight"])
    assert not list(run.out.glob(".*")) and not list((run.out / "checkpoints").glob(".*"))


def test_a_full_disk_leaves_the_last_checkpoint(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(recipe, "m")
    run.run(lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    before = weights(run.out)

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    for where, name in ((state, "write_tensors"), (checkpoint, "write"), (loop, "seal")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, full)
            again = trainer(recipe, "m")
            assert again.resume() and again.step == 1
            with pytest.raises(UserError, match=r"No space left.*step-00000001 stands"):
                again.run(lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    after = weights(run.out)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [folder.name for folder in state.steps(run.out)] == ["step-00000001"]


def test_killed_at_any_moment_the_run_comes_out_the_same(recipe: Path) -> None:
    whole = recipe.parent / "whole"
    trainer(recipe, "whole", stop_after="12", save_minutes="0.0001").run()
    command = [
        sys.executable, "-m", "codegen25", "train", str(recipe), "--out", str(recipe.parent / "m"),
        "--resume", "--set", "stop_after=12", "--set", "save_minutes=0.0001",
    ]  # fmt: skip
    killed = 0
    for wait in (0.0, 0.05, 0.12, 0.2, 60.0):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        else:
            assert process.returncode == 0
    assert killed >= 2
    resumed = weights(recipe.parent / "m")
    assert all(torch.equal(resumed[name], t) for name, t in weights(whole).items())
    logs = [
        [(e["step"], e.get("loss")) for e in read(folder / LOG)]
        for folder in (whole, recipe.parent / "m")
    ]
    assert logs[0] == logs[1]


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(recipe: Path) -> None:
    run = trainer(recipe, "m")
    run.save()
    before = weights(run.out)
    with torch.no_grad():
        run.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"loss is nan at step 0; .*step-00000000 stands.*rows \d+"):
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
    (tmp_path / "out/config.json").write_text("{}")
    assert run("train", recipe, "--out", tmp_path / "out")[0] == 2
    for extra in (["--set", "epochs"], ["--set", "epoch=1"], ["--set", "corpus=nowhere"]):
        code, _, err = run("train", recipe, "--out", tmp_path / "m", *extra)
        assert code == 2 and err.count("\n") == 1
    code, out, _ = run("train", recipe, "--out", tmp_path / "m", "--spans")
    assert code == 0 and "masked share" in out
    assert not (tmp_path / "m").exists()


def test_too_little_memory_is_said_before_the_first_step(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    code, out, err = run("train", recipe, "--out", tmp_path / "m")
    assert code == 2 and "micro_batch (now 2)" in err and "step 1" not in out
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
