from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy
import pytest
import torch

from codegen25.bench import loss
from codegen25.bench import train as bench
from codegen25.bench.race import race
from codegen25.bench.train import ENGINES, PACKAGES, batches, run_alone, side_by_side
from codegen25.tokenizer import Tokenizer
from conftest import Run


@pytest.mark.slow
def test_every_engine_has_a_row(corpus: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(corpus / "tokenizer.json")
    *rows, floor = side_by_side(corpus, "100k", 2, 1, 1, sys.executable, compiling=False)
    assert [row["engine"] for row in rows] == list(ENGINES)
    assert rows[0]["tokens/s"] > 0 and rows[0]["ours is"] == "1.00 ×"
    for row in rows[1:]:
        absent = "not installed" in row["of the products' rate"]
        assert absent or row["tokens/s"] > 0 or "failed" in row["of the products' rate"]
    assert "GFLOP/s" in floor["of the products' rate"]
    assert {row["run"] for row in rows} == {"eager"} and {row["seed"] for row in rows} == {0}
    assert rows[0]["versions"] == f"torch {torch.__version__}"


def test_an_engine_says_its_versions_and_draws_by_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def engine(asked: dict[str, object]) -> list[float]:
        drawn.append(float(torch.rand(())))
        return [0.0, 1.0, 3.0, 6.0, 10.0, 15.0]

    monkeypatch.setitem(ENGINES, "plain loop", engine)
    monkeypatch.setitem(PACKAGES, "plain loop", ("torch", "numpy"))
    made = [run_alone("plain loop", {"seed": seed}) for seed in (1, 1, 2)]
    assert made[0]["seconds"] == [4.0, 5.0] and drawn[0] == drawn[1] != drawn[2]
    assert made[0]["versions"] == f"torch {torch.__version__}, numpy {numpy.__version__}"


def test_tables_are_written_with_their_conditions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"engine": "codegen25", "run": "compiled", "versions": "torch 2"}]
    monkeypatch.setattr(bench, "side_by_side", lambda *given: rows)
    monkeypatch.setattr(loss, "table", lambda: [{"loss": "codegen25"}])
    bench.run(tmp_path, ["5m", "30m"], 0, 4, 2, 0.0, "python", True, tmp_path / "out.json")
    made = json.loads((tmp_path / "out.json").read_text())
    assert list(made["tables"])[:2] == ["Tokens a second: 5m", "Tokens a second: 30m"]
    assert made["tables"]["Tokens a second: 5m"] == rows and made["given"]["seed"] == 0
    assert made["versions"]["torch"] == torch.__version__ and "cores" in made["machine"]
    assert "| codegen25 | compiled | torch 2 |" in capsys.readouterr().out


def test_every_peer_reads_the_same_rows(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "rows.npy", np.arange(30).reshape(5, 6))
    read = batches({"rows": str(tmp_path / "rows.npy"), "batch": 2})
    first, second, third = (next(read) for _ in range(3))
    assert first[0].tolist() == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10]]
    assert first[1].tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11]]
    assert third[0][0].tolist() == [24, 25, 26, 27, 28] and third[0][1].tolist() == [0, 1, 2, 3, 4]
    assert second[0][0, 0] == 12


@pytest.mark.slow
def test_a_race_ends_with_ours_at_the_mark(corpus: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(corpus / "tokenizer.json")
    rows = race(corpus, "100k", 2, 4096, sys.executable, rates=(1e-3,), shares=(0.5, 8.0))
    if rows[0]["seconds"] == 0:
        pytest.skip(rows[0]["setting"])
    mark, *ours = (row["held-out bits per byte"] for row in rows)
    assert rows[0]["tokens"] == 4096 and 0 < mark < 20
    assert ours[-1] <= mark and all(bits > mark for bits in ours[:-1])
    said = [bool(row["times as fast to the mark"]) for row in rows[1:]]
    assert said == [bits <= mark for bits in ours]


def test_losses_agree_and_ours_holds_less() -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(9, 4), torch.randn(7, 4)
    targets = torch.randint(7, (9,))
    expected = loss.whole(hidden, head, targets)
    torch.testing.assert_close(loss.ours(hidden, head, targets), expected)
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        torch.testing.assert_close(loss.chunked(hidden, head, targets), expected)


def test_bad_input(run: Run, tmp_path: Path) -> None:
    assert run("bench", "train", tmp_path / "none")[0] == 2
    assert run("bench", "train", tmp_path, "--steps", 0)[0] == 2
