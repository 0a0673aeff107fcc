"""A card says what the run folders say, keeps what people wrote, and takes no foreign figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.evaluate import card
from codegen25.evaluate.generate import weights_sha256
from codegen25.models import resolve
from codegen25.train import recipe as recipes
from codegen25.train.lineage import stages
from codegen25.train.loop import Trainer
from conftest import Run


def trained(recipe: Path, out: Path, **overrides: str) -> Path:
    given = {"evaluate_every": "2", "stop_after": "3", **overrides}
    Trainer(recipes.load(recipe, given), out).run()
    return out


@pytest.fixture
def runs(recipe: Path) -> list[Path]:
    """Two stages, the second begun with the first one's weights."""
    folder = recipe.parent / "runs"
    first = trained(recipe, folder / "first", name="first")
    again = {"init": str(first), "name": "second", "objective.answer_weight": "4.0"}
    return [first, trained(recipe, folder / "second", **again)]


def scores(folder: Path, model: Path) -> Path:
    folder.mkdir()
    metrics = {"pass@1": {"value": 0.1234, "low": 0.1, "high": 0.15}}
    (folder / "run.json").write_text(json.dumps({"weights_sha256": weights_sha256(model), "n": 1}))
    found = {"benchmark": "single-line", "model": "second", "tasks": 1033, "metrics": metrics}
    (folder / "scores.json").write_text(json.dumps(found))
    return folder


def cells(text: str, first: str) -> list[list[str]]:
    """The rows of the tables whose first cell says `first`."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == first]


def test_it_says_what_the_runs_say(runs: list[Path], tmp_path: Path, run: Run) -> None:
    made = scores(tmp_path / "scores", runs[1])
    options = [part for each in runs for part in ("--training", each)]
    code, out, _ = run("eval", "card", runs[1], *options, "--scores", made)
    assert code == 0 and out.strip() == str(runs[1] / "README.md")
    text = (runs[1] / "README.md").read_text()
    assert "# second" in text
    facts = [json.loads((each / "training.json").read_text()) for each in runs]
    report = json.loads((Path(facts[0]["recipe"]["corpus"]) / "report.json").read_text())
    [data, stage, *looks] = cells(text, "2")
    assert data[3] == f"{report['splits']['train']['documents']:,}"
    assert stage[1] == "second" and "answers weigh 4" in stage[2]
    assert stage[3].startswith("3 of ") and stage[7] == f"{facts[1]['flops']:.2e}"
    assert [look[1] for look in looks] == ["2", "3"]
    assert f"{sum(each['flops'] for each in facts):.2e}" in text
    assert cells(text, "**second**")[0][1] == r"12.34 \[10.00, 15.00\]"
    assert "published" not in text


def test_what_people_wrote_stays(runs: list[Path]) -> None:
    path = card.run(runs[1], runs, [])
    path.write_text(path.read_text().replace("What it is for, and", "It is small. And"))
    before = path.read_text()
    assert card.run(runs[1], runs, []).read_text() == before
    path.write_text("# no marks\n")
    with pytest.raises(UserError, match=r"README\.md has no <!-- card -->"):
        card.run(runs[1], runs, [])
    assert path.read_text() == "# no marks\n"


def test_a_model_without_runs_has_its_shape(model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    shutil.copytree(model_dir, folder)
    text = card.run(folder, [], []).read_text()
    assert "# named" in text and "2 layers, 32 wide" in text and "Training" not in text


def test_runs_of_other_models_are_refused(runs: list[Path], recipe: Path) -> None:
    other = trained(recipe, recipe.parent / "other", seed="7")
    with pytest.raises(UserError, match=r"second: did not start from the weights in .*other"):
        stages([other, runs[1]])
    with pytest.raises(UserError, match="did not start"):
        stages([runs[0], other])
    with pytest.raises(UserError, match="did not come from"):
        card.run(runs[1], runs[:1], [])
    assert not (runs[1] / "README.md").exists()


def test_scores_of_other_weights_are_refused(runs: list[Path], tmp_path: Path) -> None:
    made = scores(tmp_path / "scores", runs[0])
    with pytest.raises(UserError, match="other weights"):
        card.run(runs[1], runs, [made])


def test_facts_of_an_older_release_are_named(runs: list[Path]) -> None:
    path = runs[0] / "training.json"
    facts = json.loads(path.read_text())
    del facts["flops"]
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"training\.json: no flops; an older release"):
        stages(runs[:1])


def test_the_shipped_model_s_facts_are_whole_or_named() -> None:
    """They are older than what a card needs."""
    with pytest.raises(UserError, match=r"no recipe\.\w+"):
        stages([resolve("codegen25-4m-mono")])


def test_a_file_of_pairs_is_the_data_then(runs: list[Path]) -> None:
    path = runs[1] / "training.json"
    facts = json.loads(path.read_text())
    facts["recipe"]["pairs"], facts["data_sha256"]["pairs"] = "mine/asked.jsonl", "ab" * 32
    path.write_text(json.dumps(facts))
    [data, *_] = cells(card.run(runs[1], runs, []).read_text(), "2")
    assert data[1] == f"asked.jsonl, {'ab' * 6}" and not any(data[2:])


def test_where_the_first_stage_began_is_said(runs: list[Path]) -> None:
    assert "Stage 1 began with the weights of first." in card.run(runs[1], runs[1:], []).read_text()


def test_a_corpus_that_changed_is_named_by_its_hash_alone(runs: list[Path], tmp_path: Path) -> None:
    [first] = stages(runs[:1])
    assert first.corpus() is not None
    facts = {**first.facts, "recipe": {**first.recipe, "corpus": "words"}}
    assert type(first)(first.folder, facts, first.log).corpus() is None
    beside = first.folder.resolve().parent.parent / "words"
    beside.symlink_to(Path(first.recipe["corpus"]).resolve())
    assert type(first)(first.folder, facts, first.log).corpus() == first.corpus()
    moved = {**first.facts, "corpus_sha256": "0" * 64}
    assert type(first)(first.folder, moved, first.log).corpus() is None
