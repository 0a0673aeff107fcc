"""Each recipe of ours does its first twenty steps, on a small corpus and in a small shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen25 import checkpoint
from codegen25.data import pipeline
from codegen25.data.engines import Local
from codegen25.sample.engine import Engine
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train import state
from codegen25.train.log import LOG, read
from codegen25.train.loop import Trainer
from conftest import Run, folder_recipe

RECIPES = sorted((Path(recipes.__file__).parents[1] / "recipes").glob("*.toml"))
MODULE = '''
def area_{i}(width, height):
    """Return the area of rectangle number {i}, of a width and a height."""
    product = width * height + {i}
    return product
'''


def documented(folder: Path) -> Path:
    """A corpus of functions with docstrings."""
    (folder / "source").mkdir()
    for i in range(12):
        text = "".join(MODULE.format(i=100 * i + k) for k in range(4))
        (folder / f"source/m{i}.py").write_text(text)
    pipeline.build(folder_recipe(folder / "source", near_dedup=False), folder / "corpus", Local(1))
    return folder / "corpus"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_does_its_first_steps(
    path: Path, corpus: Path, tokenizer: Tokenizer, model_dir: Path, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    small = {"shape.context": "128", "shape.layers": "2", "shape.hidden": "32", "shape.heads": "2",
             "shape.feed_forward": "128", "shape.tied": "true"}  # fmt: skip
    overrides = {
        "corpus": str(corpus), "tokenizer": str(tmp_path / "tokenizer.json"), "epochs": "1000.0",
        "batch": "4", "micro_batch": "2", "stop_after": "20", "compile": "false",
        "dtype": "float32", "schedule.warmup": "2",
    }  # fmt: skip
    loaded = recipes.load(path, {"corpus": "c", "tokenizer": "t"})
    if loaded.window > 128:  # it has to fit the rows
        small["shape.context"] = "512"
    if loaded.init:
        overrides["init"] = str(model_dir)
    if loaded.pairs:  # of docstrings, which the corpus of all tests hardly has
        overrides["corpus"] = str(documented(tmp_path))
        small["shape.context"] = "256"
    trainer = Trainer(recipes.load(path, overrides | small), tmp_path / "run")
    assert trainer.recipe.window == loaded.window
    assert trainer.run()
    steps = [entry for entry in read(tmp_path / "run" / LOG) if "loss" in entry]
    assert len(steps) == 20 and steps[-1]["loss"] < steps[0]["loss"]
    assert Engine.load(tmp_path / "run").complete("def f(", max_tokens=3).tokens


def test_a_personal_model_is_made_of_a_folder_and_taken_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path / "cache"))
    (tmp_path / "repo").mkdir()
    for i in range(12):
        text = "".join(MODULE.format(i=100 * i + k) for k in range(4))
        (tmp_path / f"repo/m{i}.py").write_text(text)
    command = (
        "train", "personal", "--data", tmp_path / "repo", "--set", "stop_after=3",
        "--set", "shape.context=256", "--set", "batch=2",
    )  # fmt: skip
    left = tmp_path / "cache/.personal.new"
    left.mkdir(parents=True)
    (left / "left").write_text("of a run that was killed before it saved")
    code, _, err = run(*command, "--set", "nothing=1")
    assert code == 2 and "unknown key nothing" in err and (left / "left").exists()
    for _ in range(2):  # the second takes the first's place
        code, out, err = run(*command)
        assert (code, err) == (0, "") and "`complete` uses from now on" in out
    folder = tmp_path / "cache/personal"
    assert not (folder / "left").exists()
    assert [path.name for path in folder.parent.iterdir() if "personal" in path.name] == [
        "personal"
    ]
    adapted = checkpoint.load(folder).model
    mine = adapted.state_dict()
    code, out, _ = run("models")
    assert "codegen25-30m-mono  shipped" in out and "personal  cached" in out
    code, out, _ = run("complete", tmp_path / "repo/m1.py", "--at", "4:1", "--json")
    assert code == 0
    shipped = checkpoint.load(Path(recipes.__file__).parents[1] / "shipped/codegen25-30m-mono")
    base = {n: t.bfloat16().float() for n, t in shipped.model.state_dict().items()}  # as saved
    assert adapted.config == shipped.model.config  # 1,024 tokens of context, although rows have 256
    assert mine.keys() == base.keys()
    changed = {name for name in mine if not (mine[name] == base[name]).all()}
    assert changed and all("proj" in name for name in changed)


def test_a_personal_run_that_was_stopped_is_not_thrown_away(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    saved = state.step_folder(tmp_path / ".personal.new", 7)
    saved.mkdir(parents=True)
    code, _, err = run("train", "personal", "--data", tmp_path)
    assert code == 2 and err.count("\n") == 1 and saved.exists()
    assert f"{saved} stands" in err and "--resume, or remove" in err


def test_a_recipe_that_needs_more_says_so(run: Run, tmp_path: Path) -> None:
    code, _, err = run("train", "personal", "--out", tmp_path / "m")
    assert code == 2 and "corpus" in err and err.count("\n") == 1
    assert run("train", "mono", "instruct", "--out", tmp_path / "m")[0] == 2
    assert run("train", "mono")[0] == 2
    assert not (tmp_path / "m").exists()
