from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bench_helpers import script

from codegen25.models import CACHE_VARIABLE
from conftest import ROOT

personal = script("personal")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Ten small modules of ours."""
    folder = tmp_path / "repository"
    folder.mkdir()
    files = sorted((ROOT / "src/codegen25").glob("*.py"), key=lambda f: f.stat().st_size)
    for file in [each for each in files if each.stat().st_size > 300][:10]:
        shutil.copy(file, folder)
    return folder


def test_files_are_either_learned_from_or_measured(repository: Path) -> None:
    learned, measured = personal.split(repository)
    assert learned and measured and not set(learned) & set(measured)
    assert {*learned, *measured} == set(repository.glob("*.py"))
    assert personal.split(repository) == (learned, measured)


def test_from_a_folder_to_the_table_and_again(
    repository: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "mine"))
    small = {"init": f"{str(model_dir)!r}", "shape.context": "128", "batch": "2", "epochs": "6.0",
             "optimizer.adam_lr": "0.03"}  # fmt: skip
    given = [part for pair in small.items() for part in ("--set", "=".join(pair))]
    monkeypatch.setattr(personal, "TYPED", 1)
    command = [repository, "--out", tmp_path / "out", "--limit", "2", *given]
    personal.main(list(map(str, command)))
    said = capfd.readouterr().out
    assert "| | shipped | adapted |" in said and "Adapted to" in said and "1 of them typed" in said
    conditions = json.loads((tmp_path / "out/after/run.json").read_text())
    assert len(conditions["files"]) == 1 and conditions["accept"] == "words"
    [row] = [line.split(" | ") for line in said.splitlines() if "bits per byte" in line]
    before, after = float(row[1]), float(row[2].rstrip(" |"))
    assert after < before  # the untrained model knows nothing, the adapted one some bytes
    assert not (tmp_path / "mine/personal").exists()
    monkeypatch.setattr(personal, "_run", lambda *_: pytest.fail("done again"))
    personal.main(list(map(str, command)))
    assert capfd.readouterr().out == said
    with pytest.raises(SystemExit, match="holds another run"):
        personal.main([str(repository), "--out", str(tmp_path / "out")])


def test_too_few_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0 Python files are too few"):
        personal.main([str(tmp_path), "--out", str(tmp_path / "out")])
