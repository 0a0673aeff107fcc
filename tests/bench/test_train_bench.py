from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codegen25.bench.train import ENGINES, batches, side_by_side
from codegen25.tokenizer import Tokenizer
from conftest import Run


@pytest.mark.slow
def test_every_engine_has_a_row(corpus: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(corpus / "tokenizer.json")
    *rows, floor = side_by_side(corpus, 1, 64, 1, 1, sys.executable, compiling=False)
    assert [row["engine"] for row in rows] == list(ENGINES)
    assert rows[0]["tokens/s"] > 0 and rows[0]["ours is"] == "1.00 ×"
    for row in rows[1:]:
        absent = "not installed" in row["of the products' rate"]
        assert absent or row["tokens/s"] > 0 or "failed" in row["of the products' rate"]
    assert "GFLOP/s" in floor["of the products' rate"]


def test_every_peer_reads_the_same_rows(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "rows.npy", np.arange(30).reshape(5, 6))
    read = batches({"rows": str(tmp_path / "rows.npy"), "batch": 2})
    first, second, third = (next(read) for _ in range(3))
    assert first[0].tolist() == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10]]
    assert first[1].tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11]]
    assert third[0][0].tolist() == [24, 25, 26, 27, 28] and third[0][1].tolist() == [0, 1, 2, 3, 4]
    assert second[0][0, 0] == 12


def test_bad_input(run: Run, tmp_path: Path) -> None:
    assert run("bench", "train", tmp_path / "none")[0] == 2
    assert run("bench", "train", tmp_path, "--steps", 0)[0] == 2
