from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.evaluate import curve
from codegen25.train import plot
from codegen25.train.log import Log, read

SCORES = {
    "benchmark": "HumanEval-SingleLineInfilling",
    "metrics": {"pass@1": {"value": 0.25}, "stop_rate": {"value": 0.5}},
}


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A run of two steps whose last line a full disk cut off, with a model of its second step."""
    out = tmp_path / "run"
    model = out / "checkpoints/step-2"
    model.mkdir(parents=True)
    (model / "training.json").write_text(json.dumps({"step": 2, "tokens": 200}))
    lines = [{"step": i, "tokens": 100 * i, "epoch": 0.5 * i, "loss": 1.0} for i in (1, 2)]
    (out / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines) + '{"st')
    return out


def test_rates_join_the_log_at_the_models_tokens(training: Path) -> None:
    at = curve.point(training / "checkpoints/step-2", training)
    curve.note(training, at, SCORES)
    log = read(training / "log.jsonl")
    assert len(log) == 3
    assert plot.points_of(log, "pass_at_1") == [(200, 0.25)]
    assert plot.points_of(log, "HumanEval-SingleLineInfilling stop_rate") == [(200, 0.5)]
    assert plot.epochs_of(log) == [(1, 200)]
    curve.note(training, at, {"benchmark": "HumanEval", "metrics": {"pass@1": {"value": 0.5}}})
    log = read(training / "log.jsonl")
    assert plot.points_of(log, "pass_at_1") == [(200, 0.25)]  # of the first benchmark alone
    assert plot.points_of(log, "HumanEval pass@1") == [(200, 0.5)]


def test_what_was_noted_is_no_look_at_held_out_text(training: Path) -> None:
    curve.note(training, curve.point(training / "checkpoints/step-2", training), SCORES)
    log = Log(training)
    log.rewind(2)
    assert len(log.entries) == 3 and len(log.steps) == 2 and not log.looks


def test_a_model_of_another_run_is_refused(training: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UserError, match="no model of this run"):
        curve.point(other, training)
    with pytest.raises(UserError, match="no log of a training run"):
        curve.point(training / "checkpoints/step-2", other)
