from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import script

from codegen25.errors import UserError
from codegen25.evaluate.report.text import inserted
from codegen25.evaluate.statistics import Rate
from codegen25.sample.engine import Engine
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train.loop import Trainer
from codegen25.train.recipe import Recipe
from conftest import ROOT, shared

findings = script("findings")

NOWHERE = {"corpus": "'c'", "tokenizer": "'t'"}
SMALL = {
    "shape.layers": "2", "shape.hidden": "32", "shape.heads": "2", "shape.context": "128",
    "window": "64", "batch": "4", "micro_batch": "2", "schedule.warmup": "2",
}  # fmt: skip
PAGE = "# Findings\n\n<!-- order -->\n<!-- end of order -->\n\nWhat it says: by hand.\n"

Ask = Callable[..., Any]


@pytest.fixture
def ask(corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> Ask:
    tokenizer.save(tmp_path / "tokenizer.json")

    def asked(positions: int, **fields: Any) -> Any:
        given = {"humaneval": tmp_path, "overrides": SMALL, **fields}
        return findings.Asked(
            corpus, tmp_path / "tokenizer.json", out=tmp_path / "out", positions=positions, **given
        )

    return asked


@pytest.mark.parametrize("name", findings.names())
def test_every_arm_is_a_recipe_and_every_measure_known(name: str) -> None:
    experiment = findings.load(name)
    assert experiment.question.endswith("?") and experiment.seeds >= 3
    known = findings.HELD_OUT.keys() | findings.INFILL.keys() | findings.LEFT_TO_RIGHT.keys()
    assert set(experiment.measures) <= known and known > findings.PLAIN
    assert experiment.holes in findings.MOST and len(experiment.arms) > 1
    built = set()
    for arm, fields in experiment.arms.items():
        overrides = experiment.overrides(arm)
        built.add((recipes.load(findings.BASE, NOWHERE | overrides), fields.get("layout")))
        assert experiment.against(arm) in experiment.arms
    assert len(built) == len(experiment.arms)  # no two alike
    for arms in experiment.contrasts.values():
        assert len(arms) == 4 and set(arms) <= experiment.arms.keys()
    page = inserted((ROOT / "docs/findings.md").read_text(), name, "a table")
    assert "a table" in page and "What it says: " in page.partition("a table")[2]


def test_the_base_has_a_million_parameters() -> None:
    size = Tokenizer.load(findings.TOKENIZER).vocab_size
    shape = recipes.load(findings.BASE, NOWHERE).resolved(size, "cpu").shape
    assert size == 2048 and 0.8e6 < shape.config(size).parameters < 1.2e6


def test_arms_see_as_many_positions_in_however_many_epochs(ask: Ask) -> None:
    asked = ask(16 * 4 * 128)
    seen: dict[int, set[bytes]] = {}
    for epochs in (1, 4, 16):
        recipe = findings.recipe_of({"epochs": str(epochs)}, 0, asked)
        trainer = Trainer(recipe, asked.out)
        assert trainer.steps == 16 and len(trainer.rows) == 64 // epochs
        seen[epochs] = {repr(trainer.rows._pieces(i)).encode() for i in range(64 // epochs)}
        assert len(seen[epochs]) == 64 // epochs
    assert seen[16] < seen[4] < seen[1]
    with pytest.raises(UserError, match=r"take a larger corpus or fewer --positions"):
        findings.recipe_of({}, 0, ask(1_000_000))


def test_a_model_is_shared_by_the_experiments_that_have_it(ask: Ask) -> None:
    asked = ask(2048)

    def place(overrides: dict[str, str], seed: int = 0) -> Path:
        found: Path = findings.folder_of(findings.recipe_of(overrides, seed, asked), asked)
        return found

    base = place({})
    assert base == place({"keep_last": "3"})
    assert len({base, place({}, 1), place({"epochs": "2"}), place({"order": "'identical'"})}) == 4


def test_means_and_differences_by_hand() -> None:
    bits = findings.BITS
    experiment = findings.Experiment(
        "?", (bits, "pass@1"), {"a": {}, "b": {}, "c": {"against": "b"}}
    )
    found = {
        "a": [{bits: value, "pass@1": 0.1} for value in (1.0, 2.0, 3.0)],
        "b": [{bits: value, "pass@1": 0.3} for value in (1.1, 2.1, 3.4)],
        "c": [{bits: value} for value in (1.1, 2.1, 3.4)],
    }
    # Half of an interval is 4.303 s / √3: s is 1 of a, √1.33 of b and c, √0.03 of the
    # differences .1, .1 and .4.
    assert findings.table(experiment, found).splitlines()[2:] == [
        f"| {bits} | a | 2.0000 [-0.4843, 4.4843] |  |  |",
        f"| {bits} | b | 2.2000 [-0.6651, 5.0651] | +0.2000 [-0.2303, +0.6303] | a |",
        f"| {bits} | c | 2.2000 [-0.6651, 5.0651] | +0.0000 [+0.0000, +0.0000] | b |",
        "| pass@1 | a | 10.0 % [10.0, 10.0] |  |  |",
        "| pass@1 | b | 30.0 % [30.0, 30.0] | +20.0 % [+20.0, +20.0] | a |",
    ]
    del found["a"][0]["pass@1"], found["a"][1]["pass@1"], found["a"][2]["pass@1"]
    found["c"] = [{**run, "pass@1": 0.2} for run in found["c"]]
    without = findings.table(findings.Experiment("?", ("pass@1",), experiment.arms), found)
    assert without.splitlines()[2:] == [  # b is the first that has it
        "| pass@1 | b | 30.0 % [30.0, 30.0] |  |  |",
        "| pass@1 | c | 20.0 % [20.0, 20.0] | -10.0 % [-10.0, -10.0] | b |",
    ]
    crossed = findings.Experiment(
        "?", (bits,), experiment.arms, contrasts={"more": ["b", "a", "c", "b"]}
    )
    # (b - a) - (c - b) of each seed is b - a, for c is b there.
    assert f"| {bits} | more | | +0.2000 [-0.2303, +0.6303] | |" in findings.table(crossed, found)
    alone = findings.table(experiment, {arm: runs[:1] for arm, runs in found.items()})
    assert "| c | 20.0 % | -10.0 % | b |" in alone


def test_an_interval_of_a_rate_stays_within_it() -> None:
    wide = Rate(0.5, -0.7, 1.7)
    assert findings.shown(wide, "pass@1") == "50.0 % [0.0, 100.0]"
    assert findings.shown(wide, "pass@1", "+") == "+50.0 % [-70.0, +170.0]"
    assert findings.shown(wide, findings.BITS) == "0.5000 [-0.7000, 1.7000]"


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(UserError, match=r"<!-- spans -->"):
        inserted(PAGE, "spans", "text")


def test_an_experiment_from_nothing_to_the_page_and_again(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "findings.md"
    page.write_text(PAGE)
    evaluated: list[Path] = []

    def scores(folder: Path, holes: str, layout: str | None, asked: Any) -> dict[str, float]:
        assert Engine.load(folder / "model") and (holes, layout) == ("single-line", None)
        evaluated.append(folder)
        return {"pass@1": 0.25}

    monkeypatch.setattr(findings, "infilled", scores)
    monkeypatch.setattr(findings, "LINES", 2)
    some = replace(findings.load("order"), measures=(findings.BITS, "pass@1"))
    monkeypatch.setattr(findings, "load", lambda name: some)
    asked = ask(4 * 4 * 128, record=tmp_path / "findings.jsonl")
    findings.run("order", 2, asked, page)
    text = page.read_text()
    assert "| held-out bits per byte | identical | " in text and "25.0 % [25.0, 25.0]" in text
    assert "4 steps, 2,048 positions; seeds 0 to 1" in text and text.endswith("by hand.\n")
    assert len(set(evaluated)) == 4 and len(list(asked.out.iterdir())) == 4

    def twice(*given: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(findings, "Trainer", twice)
    findings.run("order", 2, asked, page)
    assert page.read_text() == text
    shutil.rmtree(asked.out)  # another machine has the record only
    findings.run("order", 2, asked, page)
    assert page.read_text() == text and not asked.out.exists()
    entries = [json.loads(line) for line in asked.record.read_text().splitlines()]
    assert len(entries) == 8 and [e["of"] for e in entries[:2]] == ["look", "single-line"]
    assert {e["recipe"]["order"] for e in entries[::2]} == {"reshuffled", "identical"}
    assert entries[1]["found"] == {"pass@1": 0.25} and entries[0]["found"]["steps"] == 4


def test_an_evaluation_counts_of_its_weights_only(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "findings.jsonl"
    asked = ask(2 * 4 * 128, record=path, overrides={**SMALL, "corruption.rate": "0.0"})
    recipe = findings.recipe_of({}, 0, asked)
    name = findings.folder_of(recipe, asked).name
    elsewhere = {"model": name, "of": "look", "found": {"steps": 9}, "weights": "of another",
                 "machine": "far away", "torch": "1"}  # fmt: skip
    path.write_text(json.dumps(elsewhere) + "\n" + '{"model": "torn')
    assert findings.gathered(recipe, {}, asked)["look"] == elsewhere  # enough for what is asked
    found = findings.gathered(recipe, {"x": lambda: {"pass@1": 0.5}}, asked)
    assert found["look"]["found"]["steps"] == 2  # both are of one model
    assert found["x"]["weights"] == found["look"]["weights"] != "of another"

    def twice() -> dict[str, float]:
        raise AssertionError("asked again")

    assert findings.gathered(recipe, {"x": twice}, asked) == found
    trial = replace(asked, limit=1)
    assert findings.gathered(recipe, {"x": dict}, trial)["x"]["found"] == {}
    assert len(path.read_text().splitlines()) == 3
    path.write_text("not JSON\n")
    with pytest.raises(UserError, match=r"findings.jsonl:1: no record .* mend or delete"):
        findings.gathered(recipe, {}, asked)
    with pytest.raises(UserError, match=r"there is no folder .*; make it first"):
        findings.gathered(recipe, {}, replace(asked, record=tmp_path / "none/x.jsonl"))


def test_conditions_are_those_of_the_entries(ask: Ask) -> None:
    run = {"parameters": 9e5, "steps": 4}
    found = {"a": [{**run, "made": {"M, torch 1"}}], "b": [{**run, "made": {"N, torch 2"}}]}
    said = findings.conditions(ask(2048), found)
    assert said.startswith("M, torch 1; N, torch 2; 0.90 million")


def test_a_run_that_was_stopped_goes_on(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(4 * 4 * 128)
    recipe: Recipe = findings.recipe_of({"corruption.rate": "0.0"}, 0, asked)
    folder = findings.folder_of(recipe, asked)
    part = Trainer(recipe, folder / "model")
    part.end = 2
    assert part.run()
    found = findings.trained(recipe, folder)
    steps = [json.loads(line) for line in (folder / "model/log.jsonl").read_text().splitlines()]
    assert [each["step"] for each in steps if "loss" in each] == [1, 2, 3, 4]
    assert found["heldout_bits_per_byte"] > 0 and "stop_rate" not in found


@pytest.mark.slow
def test_infills_are_evaluated_by_the_command_line(ask: Ask, tmp_path: Path) -> None:
    asked = ask(4 * 128, humaneval=shared("humaneval"), limit=3,
                overrides={**SMALL, "shape.context": "256"})  # fmt: skip
    experiment = findings.load("layout")
    for arm in experiment.arms:
        found = findings.measured(experiment, arm, 0, asked)
        assert set(experiment.measures) <= found.keys()
    assert len(list(asked.out.iterdir())) == 2  # two arms ask one model
    assert len(list(asked.out.glob("*/single-line-suffix_first-first-3/scores.json"))) == 2
