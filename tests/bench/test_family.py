from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench_helpers import script

from codegen25 import checkpoint
from codegen25.data.shards import TextShard
from codegen25.directory import FACTS
from codegen25.evaluate import card, curve
from codegen25.evaluate.generate import weights_sha256
from codegen25.models import resolve
from codegen25.seal import SUMS
from codegen25.train import recipe as recipes
from codegen25.train.heldout import of_text
from codegen25.train.log import LOG, read
from codegen25.train.loop import Trainer
from codegen25.train.provenance import init_sha256
from conftest import Run

family = script("family")


@pytest.fixture
def runs(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three stages of two steps, which stand for the shipped models too."""
    before = ""
    for name in family.STAGES["instruct"]:
        given = {"name": name, "evaluate_every": "1", "stop_after": "2", "keep_last": "9"}
        given |= {"init": before} if before else {}
        Trainer(recipes.load(recipe, given), tmp_path / "runs" / name).run()
        before = str(tmp_path / "runs" / name)

    def resolved(name: str) -> Path:
        model: str = name.removeprefix(f"{family.NAME}-")
        return tmp_path / "runs" / family.STAGES[model][-1]

    monkeypatch.setattr(family, "resolve", resolved)
    return tmp_path / "runs"


def answered(asked: list[Sequence[str]], arguments: Sequence[str]) -> None:
    """What `eval` leaves: a run folder, or a note in a log."""
    asked.append(arguments)
    metrics = {"pass@1": {"value": 0.125, "low": 0.1, "high": 0.15}}
    model = Path(arguments[arguments.index("--model") + 1])
    found = {"benchmark": arguments[0], "model": model.name, "metrics": metrics}
    if "--log" in arguments:
        run = Path(arguments[arguments.index("--log") + 1])
        curve.note(run, curve.point(model, run), found)
    else:
        out = Path(arguments[arguments.index("--out") + 1])
        out.mkdir(parents=True)
        (out / "scores.json").write_text(json.dumps(found))
        (out / "run.json").write_text(json.dumps({"weights_sha256": weights_sha256(model)}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What `eval` was asked, and answered at once."""
    found: list[Sequence[str]] = []
    monkeypatch.setattr(family, "_eval", lambda arguments: answered(found, arguments))
    return found


def test_tables_figure_and_cards_once(
    runs: Path, corpus: Path, tmp_path: Path, asked: list[Sequence[str]], run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "docs").mkdir()
    command = [
        f"--{name}={tmp_path / name}" for name in ("runs", "humaneval", "out", "docs", "record")
    ]
    command += [f"--corpus={corpus}"]
    family.main(command)
    said = capsys.readouterr().out
    assert "Table 1: HumanEval" in said and "12.50" in said and "CodeGen2.5-7B-multi" in said
    verbs = [each[0] for each in asked]
    assert (verbs.count("humaneval"), verbs.count("typing")) == (4, 2)
    checkpoints = len(list(runs.glob("m*/checkpoints/step-*")))
    assert checkpoints >= 3 and verbs.count("infill") == 2 + checkpoints
    assert sum("--instruct" in each for each in asked) == 1
    for arguments in asked:  # the command line knows them
        assert run("eval", *arguments, "--help")[0] == 0
    for name in family.STAGES["mono"]:  # of every stage the same text in the same rows
        known = [entry for entry in read(runs / name / LOG) if family.KNOWN in entry]
        assert [entry["step"] for entry in known] == [1, 2]
    loaded = checkpoint.load(runs / family.STAGES["mono"][-1])
    look = of_text(TextShard(corpus, "heldout"), loaded.tokenizer, family.CONTEXT, "cpu")
    last = known[-1][family.KNOWN]
    assert last == pytest.approx(look.bits_per_byte(loaded.model, torch.float32))
    drawn = (tmp_path / "docs/family.svg").read_text()
    assert "<svg" in drawn and (tmp_path / "docs/family.png").stat().st_size > 10_000
    for names in family.STAGES.values():
        text = (runs / names[-1] / "README.md").read_text()
        facts = [json.loads((runs / name / FACTS).read_text()) for name in names]
        assert f"{sum(each['flops'] for each in facts):.2e}" in text and "12.50" in text
    count = len(asked)
    family.main([*command, "--only", "tables"])
    assert len(asked) == count and capsys.readouterr().out == said


def test_the_record_is_enough_until_the_weights_are_others(
    runs: Path, corpus: Path, tmp_path: Path, asked: list[Sequence[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "docs").mkdir()
    command = [f"--{name}={tmp_path / name}" for name in ("humaneval", "out", "docs", "record")]
    family.main([*command, f"--runs={runs}", f"--corpus={corpus}"])
    said, count = capsys.readouterr().out, len(asked)
    shutil.rmtree(tmp_path / "out")
    cards = [(runs / names[-1] / "README.md").read_text() for names in family.STAGES.values()]
    for name in family.STAGES["instruct"]:  # the record of a run: no weights, their hash
        place = tmp_path / "record/runs" / name
        assert not list(place.glob("*.safetensors"))
        assert not any("loss" in entry for entry in read(place / LOG))
        assert json.loads((place / SUMS).read_text()) == init_sha256(runs / name)
    again = [*command, f"--corpus={tmp_path / 'none'}"]
    family.main(again)
    assert capsys.readouterr().out == said and len(asked) == count
    others = [(runs / names[-1] / "README.md").read_text() for names in family.STAGES.values()]
    assert others == cards
    for name in ("run.json", "asked.json"):  # of other weights, or asked otherwise
        noted = tmp_path / "record/mono-single-line" / name
        before = noted.read_text()
        noted.write_text(json.dumps({"weights_sha256": "of others"}))
        with pytest.raises(SystemExit, match="no corpus"):  # it would be measured
            family.main([*again, "--only", "tables"])
        noted.write_text(before)
    (tmp_path / "record/runs/multi" / SUMS).write_text(json.dumps({"model.safetensors": "0"}))
    with pytest.raises(SystemExit, match="mono: did not start from the weights in"):
        family.main(again)


def test_a_trial_is_kept_apart_and_notes_nothing(
    runs: Path, corpus: Path, tmp_path: Path, asked: list[Sequence[str]]
) -> None:
    command = [f"--{name}={tmp_path / name}" for name in ("runs", "humaneval", "out", "record")]
    command += [f"--corpus={corpus}"]
    family.main([*command, "--limit", "2", "--only", "tables"])
    count = len(asked)
    assert not (tmp_path / "record").exists()
    family.main([*command, "--only", "tables"])
    assert len(asked) == 2 * count and (tmp_path / "record").is_dir()
    with pytest.raises(SystemExit, match="--limit goes with"):
        family.main([*command, "--limit", "2"])


def test_scores_of_other_weights_are_not_shown(
    runs: Path, corpus: Path, tmp_path: Path, asked: list[Sequence[str]]
) -> None:
    command = [f"--{name}={tmp_path / name}" for name in ("runs", "humaneval", "out", "record")]
    command += [f"--corpus={corpus}"]
    family.main([*command, "--only", "tables"])
    for place in ("out", "record"):
        noted = tmp_path / place / "mono-single-line/run.json"
        noted.write_text(json.dumps({"weights_sha256": "no"}))
    with pytest.raises(SystemExit, match="scores of other weights"):
        family.main([*command, "--only", "tables"])


def test_where_no_checkpoint_is_kept_the_runs_model_is_measured(
    runs: Path, corpus: Path, tmp_path: Path, asked: list[Sequence[str]]
) -> None:
    for name in family.STAGES["mono"]:
        shutil.rmtree(runs / name / "checkpoints")
    (tmp_path / "docs").mkdir()
    command = [f"--{name}={tmp_path / name}" for name in ("runs", "out", "docs", "record")]
    family.main([*command, f"--corpus={corpus}", "--only", "figure"])
    for name in family.STAGES["mono"]:
        log = read(runs / name / LOG)
        for noted in (family.KNOWN, family.PASSED):
            assert [entry["step"] for entry in log if noted in entry] == [2]


def test_a_stage_that_is_missing_is_named(runs: Path, tmp_path: Path) -> None:
    (runs / "mono").rename(runs / "other")
    with pytest.raises(SystemExit, match=r"family: .*mono"):
        family.main([f"--runs={runs}", f"--out={tmp_path / 'out'}", "--only", "figure"])


def test_the_record_of_the_checkout_is_of_the_shipped_models() -> None:
    runs = family.RECORD / "runs"
    for model, names in family.STAGES.items():
        made = card.require(resolve(f"{family.NAME}-{model}"), [runs / name for name in names])
        for stage in made:
            report = stage.corpus()
            assert report is not None and report["splits"]["train"]["documents"] > 1000
        assert stage.looks
    asked = family.Asked(runs, Path(), Path(), Path(), family.FEW, None, family.RECORD)
    evaluated = [(model, name) for model in family.STAGES for name in asked.evaluations(model)]
    places = {asked.record / asked.folder(model, name).name for model, name in evaluated}
    there = {path.parent for path in asked.record.glob("*/scores.json")}
    known = {asked.known(model, name) for model, name in evaluated} - {None}
    assert known == there == places  # nothing of other weights, nothing asked otherwise


@pytest.mark.parametrize(("name", "kept"), [("corpus", True), (".", False), ("../other", False)])
def test_a_corpus_beside_the_runs_is_kept_by_its_report(
    runs: Path, corpus: Path, tmp_path: Path, name: str, kept: bool
) -> None:
    (stage,) = family.stages([runs / "multi"])
    place = tmp_path / name
    place.mkdir(exist_ok=True)
    for each in ("corpus.json", "report.json"):
        shutil.copyfile(corpus / each, place / each)
    recipe = {**stage.facts["recipe"], "corpus": name}
    beside = replace(stage, facts={**stage.facts, "recipe": recipe})
    assert beside.corpus() is not None  # of a header and a report alone
    record = tmp_path / "at/record"
    family.family_record.keep_run(beside, record / "runs/multi")
    (again,) = family.stages([record / "runs/multi"])
    assert again.facts == stage.facts
    found = {path.relative_to(tmp_path / "at").as_posix() for path in record.rglob("*.json")}
    mine = {f"record/runs/multi/{each}" for each in (FACTS, SUMS)}
    report = {f"record/corpus/{each}" for each in ("corpus.json", "report.json")}
    assert found == mine | (report if kept else set())
    assert not (tmp_path / "at/other").exists()
