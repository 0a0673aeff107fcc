from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from codegen25 import checkpoint, directory, memory, seal
from codegen25.config import ModelConfig
from codegen25.data.documents import Document
from codegen25.data.shards import ShardWriter, write_header
from codegen25.errors import UserError
from codegen25.model import Llama, initialize
from codegen25.sample.engine import Engine
from codegen25.tokenizer import Tokenizer
from codegen25.train import footprint, heldout, loop, room, state
from codegen25.train import pairs as pairs_module
from codegen25.train import recipe as recipes
from codegen25.train.batches import Ahead
from codegen25.train.heldout import HeldOut
from codegen25.train.log import ANSWERS, LOG, TEXT, read
from codegen25.train.loop import Progress, Trainer
from codegen25.train.pairs import PairRows
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe, Shape
from codegen25.train.turns import Turn
from conftest import Run


def trainer(recipe: Path, out: str, **overrides: str) -> Trainer:
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    return Trainer(recipes.load(recipe, named), recipe.parent / out)


def stop_at(step: int) -> Callable[[Progress], None]:
    """What sends this process SIGTERM after a step."""

    def report(progress: Progress) -> None:
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


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


def test_the_average_is_that_computed_by_hand(recipe: Path) -> None:
    run = trainer(recipe, "m", ema="0.2", stop_after="3")
    seen: list[dict[str, torch.Tensor]] = []
    for _ in range(4):
        seen.append({name: p.detach().clone() for name, p in run.model.named_parameters()})
        if len(seen) < 4:
            run.train_step()
    for name, mean in run.average.items():
        first, second, third, fourth = (weights[name] for weights in seen)
        wanted = 0.1 * first + 0.9 * second
        wanted = 2 / 11 * wanted + 9 / 11 * third
        wanted = 0.2 * wanted + 0.8 * fourth  # 3 / 12 would be above what the recipe says
        torch.testing.assert_close(mean, wanted)


def test_gradients_are_clipped_and_the_norm_before_is_reported(recipe: Path) -> None:
    def step(out: str, clip: str) -> tuple[float, float]:
        """The norm reported, and that of the gradients that the optimizers are given."""
        run, squares = trainer(recipe, out, optimizer__clip=clip), list[float]()

        def note(optimizer: torch.optim.Optimizer, *given: object) -> None:
            for group in optimizer.param_groups:
                squares.extend(float(p.grad.square().sum()) for p in group["params"])

        for optimizer in run.optimizers:
            optimizer.register_step_pre_hook(note)
        reported = run.train_step().gradient_norm
        assert len(squares) == len(list(run.model.parameters()))
        return reported, sum(squares) ** 0.5

    before, given = step("free", "0")
    assert before == pytest.approx(given, rel=1e-5) and before > 0.01
    reported, clipped = step("clipped", "1e-3")
    assert reported == pytest.approx(before, rel=1e-5)
    assert clipped == pytest.approx(1e-3, rel=1e-3)
    assert step("loose", str(2 * before))[1] == pytest.approx(before, rel=1e-5)


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
    before = run.evaluate()[TEXT]
    seen: list[Progress] = []
    assert run.run(seen.append)
    assert run.evaluate()[TEXT] < 0.8 * before
    assert seen[-1].step == seen[-1].steps == run.steps
    engine = Engine.load(recipe.parent / "m")
    assert engine.infill("def f(x):\n    ", "\n", max_tokens=20).tokens >= 1
    facts = json.loads((recipe.parent / "m" / directory.FACTS).read_text())
    assert facts["recipe"]["batch"] == 4 and facts["corpus_sha256"] == run.shard.sha256
    assert facts["epochs"] >= 4
    *steps, look = read(recipe.parent / "m" / LOG)
    assert [entry["step"] for entry in steps] == list(range(1, run.steps + 1))
    assert look[TEXT] == run.evaluate()[TEXT]


def test_two_runs_are_bit_identical_and_resume_changes_nothing(recipe: Path) -> None:
    trainer(recipe, "whole").run()
    part = trainer(recipe, "part")
    assert not part.run(stop_at(3)) and part.step == 3
    again = trainer(recipe, "part")
    again.resume()
    assert again.step == 3 and again.run()
    whole, resumed = weights(recipe.parent / "whole"), weights(recipe.parent / "part")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_batches_composed_ahead_change_nothing_and_are_no_state(recipe: Path) -> None:
    whole = in_two(recipe, "whole")
    part = trainer(recipe, "m", evaluate_every="2", stop_after="4")
    part.ahead = Ahead(part.batch, part.end)
    assert not part.run(stop_at(1))
    again = trainer(recipe, "m", evaluate_every="2", stop_after="4")
    again.ahead = Ahead(again.batch, again.end)
    assert again.resume() and again.run()
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_micro_batch_changes_no_result(recipe: Path) -> None:
    one, two = trainer(recipe, "a", micro_batch="4"), trainer(recipe, "b", micro_batch="1")
    assert one.train_step().nats == pytest.approx(two.train_step().nats, rel=1e-5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_resuming_with_another_recipe_names_the_fields(recipe: Path) -> None:
    trainer(recipe, "m", epochs="0.2", optimizer__adam_lr="0.001").run()
    changed = {"optimizer__adam_lr": "0.002", "micro_batch": "4", "keep_last": "5"}
    with pytest.raises(UserError) as refused:
        trainer(recipe, "m", seed="9", **changed).resume()
    assert str(refused.value).endswith(
        "another recipe; epochs: 0.2 -> 2.0, seed: 0 -> 9, optimizer.adam_lr: 0.001 -> 0.002"
    )


def test_a_corpus_that_was_moved_is_the_same_and_one_that_was_changed_is_not(
    recipe: Path, corpus: Path, tmp_path: Path
) -> None:
    whole = in_two(recipe, "whole")
    trainer(recipe, "m", evaluate_every="2", stop_after="2").run()
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved, ignore=shutil.ignore_patterns("rows"))
    again = trainer(recipe, "m", evaluate_every="2", stop_after="4", corpus=str(moved))
    assert again.resume() and again.step == 2 and again.run()
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    ends = np.load(moved / "heldout.ends.npy")
    ends[0] -= 1  # the text is as it was
    np.save(moved / "heldout.ends.npy", ends)
    with pytest.raises(UserError, match="other data; heldout differ"):
        trainer(recipe, "m", evaluate_every="2", stop_after="4", corpus=str(moved)).resume()
    raw = (moved / "heldout.text").read_bytes()
    (moved / "heldout.text").write_bytes(b"?" + raw[1:])
    with pytest.raises(UserError, match=r"heldout\.text: damaged"):
        trainer(recipe, "m", corpus=str(moved))


def test_the_config_says_what_a_model_of_ours_knows(recipe: Path) -> None:
    def marks(out: str) -> object:
        return json.loads((recipe.parent / out / "config.json").read_text()).get("codegen25")

    trainer(recipe, "plain", stop_after="1").run()
    trainer(recipe, "alias", stop_after="1", corruption__alias="0.2").run()
    alias = str(recipe.parent / "alias")
    trainer(recipe, "after", stop_after="1", init=alias, tokenizer=f"{alias}/tokenizer.json").run()
    pairs = recipe.parent / "asked.jsonl"
    pairs.write_text("\n".join(f'{{"prompt": "{i} =", "response": "{i}"}}' for i in range(8)))
    trainer(recipe, "chat", stop_after="1", pairs=str(pairs)).run()
    assert marks("plain") is None
    assert marks("alias") == marks("after") == {"alias": "<fim_middle>"}
    assert marks("chat") == {"chat": "alpaca"}
    form = directory.Directory.read(recipe.parent / "after").form
    assert form.alias is not None and form.span is not None and form.fim is None


def test_what_a_shape_does_not_say_is_taken_from_the_model_to_start_from(
    recipe: Path, tokenizer: Tokenizer
) -> None:
    config = ModelConfig(
        tokenizer.vocab_size + 6, 32, 64, 2, 2, 1, head_dim=8, max_position_embeddings=256,
        rms_norm_eps=1e-5, rope_theta=1e6,
    )  # fmt: skip
    foreign = Llama(config)
    initialize(foreign, torch.Generator().manual_seed(0))
    checkpoint.save(recipe.parent / "foreign", foreign, tokenizer)
    named = {"init": str(recipe.parent / "foreign"), "stop_after": "2"}
    run = trainer(recipe, "m", **named)
    torch.testing.assert_close(run.evaluate()[TEXT], run_of(foreign, run))
    assert run.run()
    assert directory.Directory.read(run.out).config == config  # 256, though rows have 128 tokens
    longer = trainer(recipe, "longer", shape__context="512", **named)
    assert longer.model.config == replace(config, max_position_embeddings=512)
    facts = json.loads((run.out / directory.FACTS).read_text())
    raw = (recipe.parent / "foreign/model.safetensors").read_bytes()
    assert facts["init_sha256"] == {"model.safetensors": hashlib.sha256(raw).hexdigest()}
    with torch.no_grad():
        foreign.model.norm.weight.fill_(2.0)
    checkpoint.save(recipe.parent / "foreign", foreign, tokenizer)
    again = trainer(recipe, "m", **named)
    assert again.resume() and again.facts()["init_sha256"] == facts["init_sha256"]


def run_of(model: Llama, run: Trainer) -> float:
    """Held-out bits per byte of another model than a run's own."""
    return run.heldout[TEXT].bits_per_byte(model, torch.float32)


def test_other_pairs_are_other_data(recipe: Path) -> None:
    pairs = recipe.parent / "pairs.jsonl"
    rows = [json.dumps({"prompt": f"{i} = ", "response": f"{i}"}) for i in range(30)]
    pairs.write_text("\n".join(rows))
    trainer(recipe, "m", pairs=str(pairs), stop_after="1").run()
    pairs.write_text("\n".join(reversed(rows)))
    with pytest.raises(UserError, match="other data; pairs differ"):
        trainer(recipe, "m", pairs=str(pairs), stop_after="2").resume()


def test_the_average_is_saved_and_resumed_exactly(recipe: Path) -> None:
    named = {"ema": "0.8", "save_dtype": "float32"}
    whole, part = (trainer(recipe, name, stop_after="6", **named) for name in ("whole", "part"))
    assert whole.run()
    assert not part.run(stop_at(3))
    again = trainer(recipe, "part", stop_after="6", **named)
    assert again.resume() and again.step == 3
    for name, mean in part.average.items():
        assert torch.equal(mean, again.average[name])
        assert not torch.equal(mean, dict(again.model.named_parameters())[name])
    assert again.run()
    assert all(torch.equal(mean, again.average[name]) for name, mean in whole.average.items())
    a, b = weights(whole.out), weights(again.out)
    assert all(torch.equal(a[name], b[name]) for name in a)


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
        (lambda f: (f / directory.FACTS).unlink(), f"{directory.FACTS} is missing"),
        (lambda f: (f / seal.SUMS).write_text("{"), "is damaged"),
        (lambda f: (f / seal.SUMS).unlink(), f"{seal.SUMS} is missing"),
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
    aside = last.with_name(f".damaged-{last.name}")
    assert f"kept as {aside.name}" in said[0] and (aside / state.STATE).is_dir()
    again.run()
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    damage_state(last)
    assert trainer(recipe, "m", evaluate_every="2", stop_after="4").resume(said.append)
    assert f"kept as {aside.name}-2" in said[1] and len(list(last.parent.glob(".damaged-*"))) == 2
    damage_state(first)
    with pytest.raises(UserError, match="no checkpoint is whole"):
        trainer(recipe, "m", evaluate_every="2", stop_after="4").resume(said.append)
    assert state.steps(whole.out) == [first] and first.name in said[2] and "kept" not in said[2]


def test_a_checkpoint_that_cannot_be_read_stays_where_it_is(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = in_two(recipe, "m")
    before, last = state.steps(run.out), state.steps(run.out)[-1]

    def stale(path: Path) -> str:
        raise OSError(116, "Stale file handle", str(path))

    monkeypatch.setattr(seal, "file_sha256", stale)
    with pytest.raises(UserError, match=rf"{last.name}/.*: cannot be read \(Stale file handle\)"):
        trainer(recipe, "m", evaluate_every="2", stop_after="4").resume()
    assert state.steps(run.out) == before


def test_a_checkpoint_does_not_change_with_the_model_in_out(recipe: Path) -> None:
    run = in_two(recipe, "m")
    last = state.steps(run.out)[-1]
    for path in run.out.glob("*.json"):  # in place, as an editor or `>>` does it
        with path.open("a") as file:
            file.write("\n")
    assert seal.fault(last) == ""
    weights = "model.safetensors"
    assert (run.out / weights).samefile(last / weights)


def test_checkpoints_that_stay(recipe: Path) -> None:
    run = trainer(recipe, "m", evaluate_every="1", stop_after="6", keep_last="2")
    run.run()
    assert [folder.name[-1] for folder in state.steps(run.out)] == ["5", "6"]
    assert not (run.out / "checkpoints/best").is_symlink()
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
    for keep in (True, False):  # a mark goes with what it led to
        state.mark_best(run.out, state.step_folder(run.out, 5))
        state.prune(run.out, 1, keep_best=keep)
        assert (run.out / "checkpoints/best").is_symlink() is keep


class Second(World):
    """The second of two processes, whose first one takes a step."""

    step = 2.0

    def sum(self, *values: float) -> list[float]:
        return [value + self.step for value in values]

    def wait(self) -> None:
        pass


def test_the_first_rank_chooses_the_checkpoint_for_all(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_two(recipe, "m")

    def looked(folder: Path) -> str:
        raise AssertionError("the first process alone hashes checkpoints")

    monkeypatch.setattr(loop, "fault", looked)
    second = trainer(recipe, "m", evaluate_every="2", stop_after="4")
    second.world = Second(1, 2)
    assert second.resume() and second.step == 2
    monkeypatch.setattr(Second, "step", -2.0)
    with pytest.raises(UserError, match="no checkpoint is whole"):
        second.resume()
    monkeypatch.setattr(Second, "step", -1.0)
    assert not second.resume()


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
    whole, out = recipe.parent / "whole", recipe.parent / "m"
    trainer(recipe, "whole", stop_after="12", save_minutes="0.0001").run()
    command = [
        sys.executable, "-m", "codegen25", "train", str(recipe), "--out", str(out),
        "--resume", "--set", "stop_after=12", "--set", "save_minutes=0.0001",
    ]  # fmt: skip

    def newest() -> int:
        return max(
            (int(folder.name.removeprefix("step-")) for folder in state.steps(out)), default=0
        )

    killed, gone_on = 0, list[int]()
    for wait in (0.0, 0.0, 0.05):
        before = newest()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        gone_on += [int(first.split()[-1])] if first.startswith("going on after step ") else []
        # Once before it saved anything, then some time after a further checkpoint has appeared.
        while killed and newest() == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(wait)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert killed >= 2 and any(1 <= step < 12 for step in gone_on), (killed, gone_on)
    resumed = weights(out)
    assert all(torch.equal(resumed[name], t) for name, t in weights(whole).items())
    logs = [[(e["step"], e.get("loss")) for e in read(folder / LOG)] for folder in (whole, out)]
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


def test_too_little_memory_is_said_before_the_model_is_built(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*arguments: object) -> None:
        raise AssertionError("the model is built")

    monkeypatch.setattr(loop, "Llama", build)
    with pytest.raises(AssertionError, match="built"):
        trainer(recipe, "m")
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    with pytest.raises(UserError, match=r"a step takes 0.0 GB, 0.0 GB of memory are free"):
        trainer(recipe, "m")


def test_processes_of_a_machine_share_its_memory_and_have_a_gpu_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Recipe("c", "t", batch=8, micro_batch=1, shape=Shape(2, 32, context=128))
    asked = asked.resolved(500, "cpu")
    config = asked.shape.config(500)
    one = footprint.memory(asked, config, 1, torch.float32).total
    two = footprint.memory(asked, config, 2, torch.float32).total
    alone, beside = World(), Two(0, 2, 0, 2)
    monkeypatch.setattr(memory, "available", lambda: 1.5 * max(one, two))
    room.require(asked, config, torch.float32, "cpu", alone)
    room.require(asked, config, torch.float32, "cpu", Two(0, 2, 0, 1))
    with pytest.raises(UserError, match="in each of 2 processes"):
        room.require(asked, config, torch.float32, "cpu", beside)
    on_gpu = footprint.memory(asked, config, 2, torch.float32, "cuda").total
    for have, fits in ((1.01 * on_gpu, True), (0.99 * on_gpu, False)):
        free = int(have)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 8 * free))
        with nullcontext() if fits else pytest.raises(UserError, match="GB of memory are free"):
            room.require(asked, config, torch.float32, "cuda", beside)


class Two(World):
    """Two processes, of which the other one has enough of everything."""

    def sum(self, *values: float) -> list[float]:
        return list(values)


def test_what_a_killed_save_left_goes_at_the_next_start(recipe: Path) -> None:
    run = in_two(recipe, "m")
    left = [
        run.out / "checkpoints/.step-00000003.new", run.out / ".model.safetensors.new",
        run.out / "checkpoints/.best.new",
    ]  # fmt: skip
    for resume in (True, False):
        left[0].mkdir()
        (left[0] / "model.safetensors").write_bytes(b"half")
        left[1].write_bytes(b"half")
        left[2].symlink_to("nowhere")
        again = trainer(recipe, "m", evaluate_every="2", stop_after="4")
        assert again.resume() if resume else again.run(stop_at(1)) is False
        assert not [path for path in left if path.exists() or path.is_symlink()], resume


def test_a_model_that_was_not_put_in_place_is_when_the_run_goes_on(recipe: Path) -> None:
    run = in_two(recipe, "m")
    first, last = state.steps(run.out)
    state.publish(first, run.out)  # as if killed after the checkpoint appeared
    again = trainer(recipe, "m", evaluate_every="2", stop_after="4")
    assert again.resume()
    newest = weights(run.out)
    assert all(torch.equal(newest[name], tensor) for name, tensor in weights(last).items())


@pytest.mark.parametrize("step", [2, 4])
def test_a_look_lost_between_save_and_look_is_made_again(recipe: Path, step: int) -> None:
    run = in_two(recipe, "m", keep_best="true")
    (run.out / "checkpoints/best").unlink()
    complete = read(run.out / LOG)
    shutil.rmtree(run.out / "checkpoints/step-00000004") if step == 2 else None
    kept = [e for e in complete if e["step"] < step or (e["step"] == step and "loss" in e)]
    (run.out / LOG).write_text("".join(json.dumps(e) + "\n" for e in kept))
    for _ in range(2):  # and once only
        again = trainer(recipe, "m", evaluate_every="2", stop_after="4", keep_best="true")
        assert again.resume() and again.run()
        assert again.found == {"heldout_bits_per_byte": complete[-1]["heldout_bits_per_byte"]}
        for now, before in zip(read(run.out / LOG), complete, strict=True):
            assert {**now, "seconds": 0} == {**before, "seconds": 0}
    assert (run.out / "checkpoints/best").exists()


@pytest.mark.parametrize("moment", ["save", "look"])
def test_sigterm_in_the_last_save_or_look_loses_nothing(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    run = trainer(recipe, "m", stop_after="2")
    real = getattr(run, moment)

    def signalled(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    def unprotected(number: int, frame: object) -> None:
        raise AssertionError("the signal would have ended the process")

    monkeypatch.setattr(run, moment, signalled)
    before = signal.signal(signal.SIGTERM, unprotected)
    try:
        assert run.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert weights(run.out) and "heldout_bits_per_byte" in read(run.out / LOG)[-1]


def emptied(corpus: Path, folder: Path, *splits: str) -> Path:
    """The corpus with nothing in some of its splits."""
    shutil.copytree(corpus, folder, ignore=shutil.ignore_patterns("rows"))
    header = json.loads((folder / "corpus.json").read_text())
    for split in splits:
        with ShardWriter(folder, split) as writer:
            pass
        header["splits"][split] = writer.entry
    (folder / "corpus.json").write_text(json.dumps(header))
    return folder


def test_empty_shards(run: Run, recipe: Path, corpus: Path, tmp_path: Path) -> None:
    nothing = emptied(corpus, tmp_path / "nothing", "train", "heldout")
    code, _, err = run("train", recipe, "--out", tmp_path / "m", "--set", f"corpus={nothing}")
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "m").exists()
    assert f"{nothing}: the split 'train' holds no text" in err
    unheld = emptied(corpus, tmp_path / "unheld", "heldout")
    code, out, err = run(
        "train", recipe, "--out", tmp_path / "m", "--set", f"corpus={unheld}", "--set",
        "stop_after=1",
    )  # fmt: skip
    assert (code, err) == (0, "") and "nothing is held out" in out


def test_documents_without_text_are_no_text(recipe: Path, tmp_path: Path) -> None:
    for split in ("train", "heldout"):
        with ShardWriter(tmp_path, split) as writer:
            writer.add(Document("", "a.py", "p"))
    write_header(tmp_path, dict.fromkeys(("train", "heldout"), writer.entry))
    with pytest.raises(UserError, match="holds no text"):
        trainer(recipe, "m", corpus=str(tmp_path))


def test_a_tokenizer_that_does_not_fit_the_text(
    run: Run, recipe: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    backend = tokenizers.Tokenizer(WordLevel({"<unk>": 0, "def": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    names = [tokenizer.backend.id_to_token(i) for i in tokenizer.special_ids]
    backend.add_special_tokens([tokenizers.AddedToken(name, special=True) for name in names])
    backend.save(str(tmp_path / "words.json"))
    code, _, err = run(
        "train", recipe, "--out", tmp_path / "m", "--set", f"tokenizer={tmp_path / 'words.json'}"
    )
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "m").exists()
    assert "the tokenizer does not fit the text; document 0 has" in err


def test_pairs_that_are_left_out_are_said(run: Run, recipe: Path, tmp_path: Path) -> None:
    pairs = [{"prompt": f"{i} = ", "response": f"{i}"} for i in range(30)]
    pairs += [{"prompt": "x y z " * 200, "response": "y"}] * 3
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    code, out, _ = run(
        "train", recipe, "--out", tmp_path / "m", "--set", f"pairs={tmp_path / 'pairs.jsonl'}",
        "--set", "stop_after=2",
    )  # fmt: skip
    assert code == 0 and out.count("3 pairs are left out") == 1
    assert json.loads((tmp_path / "m" / directory.FACTS).read_text())["pairs_left_out"] == 3
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pairs[-1]))
    code, _, error = run(
        "train", recipe, "--out", tmp_path / "n", "--set", f"pairs={tmp_path / 'pairs.jsonl'}"
    )
    assert code == 2 and "no pair fits the context" in error and not (tmp_path / "n").exists()


def test_answers_that_were_held_out_are_looked_at(
    run: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(
        json.dumps({"prompt": f"{i} = ", "response": f"{i % 7} + {i}"}) + "\n" for i in range(600)
    ))  # fmt: skip
    named = {"pairs": str(pairs), "evaluate_every": "2", "keep_best": "true", "keep_last": "9"}
    made = trainer(recipe, "m", **named, stop_after="4")
    made.run()
    looks = {e["step"]: e for e in read(made.out / LOG) if ANSWERS in e}
    assert set(looks) == {2, 4} and all(TEXT in each for each in looks.values())
    assert looks[4][ANSWERS] == made.evaluate()[ANSWERS] != looks[4][TEXT]
    again = trainer(recipe, "m", **named, stop_after="6")
    assert again.resume() and again.best == min(each[ANSWERS] for each in looks.values())
    worse = {TEXT: 0.0, ANSWERS: again.best + 1}
    best = (made.out / "checkpoints/best").resolve()
    monkeypatch.setattr(again, "evaluate", lambda: worse)
    again.run()
    assert (made.out / "checkpoints/best").resolve() == best
    facts = json.loads((made.out / directory.FACTS).read_text())
    assert facts["pairs_held_out"] == made.kept > 0
    monkeypatch.setattr(pairs_module, "OPEN", 1)
    monkeypatch.setattr(pairs_module, "FEWEST", 10**6)
    with pytest.raises(UserError, match=r"planned for \d+ steps, which are \d+ now"):
        trainer(recipe, "m", **named, stop_after="7").resume()
    monkeypatch.undo()
    code, out, _ = run(
        "train", recipe, "--out", tmp_path / "n", "--set", f"pairs={pairs}", "--set", "stop_after=1"
    )
    assert (
        code == 0 and "held-out bits per byte" in out and "held-out answers, bits per byte " in out
    )
    assert f"{made.kept} pairs are held out" in out


def test_bits_of_answers_by_hand(recipe: Path, tokenizer: Tokenizer) -> None:
    asked = [(Turn(f"{i} = ", f"{i} + é"),) for i in range(9)]
    rows = PairRows(asked, tokenizer, 32)
    model = Llama(trainer(recipe, "m").model.config)
    initialize(model, torch.Generator().manual_seed(1))
    nats = 0.0
    for [turn] in asked:
        prompt, answer = tokenizer.encode(turn.prompt), tokenizer.encode(turn.response)
        ids = torch.tensor([[*prompt, *answer, rows.end]])
        with torch.no_grad():
            scores = model(ids[:, :-1]).log_softmax(-1)[0]
        told = ids[0, 1:]
        nats -= float(scores.gather(1, told[:, None])[len(prompt) - 1 :].sum())
    size = sum(len(turn.response.encode()) for [turn] in asked)
    found = HeldOut(rows, "cpu").bits_per_byte(model, torch.float32)
    assert found == pytest.approx(nats / size / math.log(2), rel=1e-4)


def test_rows_that_are_looked_at_are_spread(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = trainer(recipe, "m").heldout[TEXT]
    asked: list[int] = []
    arrays = look.rows.arrays
    monkeypatch.setattr(look.rows, "arrays", lambda i, epoch: asked.append(i) or arrays(i, epoch))
    monkeypatch.setattr(heldout, "ROWS", 3)
    look.bits_per_byte(Llama(trainer(recipe, "m").model.config), torch.float32)
    count = len(look.rows)
    assert count > 6 and asked == [0, count // 3, 2 * count // 3]


def test_a_look_is_the_same_however_many_rows_are_read_at_once(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(recipe, "m")
    model = Llama(run.model.config)
    initialize(model, torch.Generator().manual_seed(1))
    found = run_of(model, run)
    for tokens in (1, 3 * run.recipe.shape.context):
        monkeypatch.setattr(heldout, "TOKENS", tokens)
        assert run_of(model, run) == pytest.approx(found, rel=1e-5)


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
