"""The benches of sampling run, without peers, on the smallest shape."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from codegen25.bench import keystrokes, latency, roofline, throughput
from codegen25.errors import UserError
from codegen25.models import resolve
from codegen25.tokenizer import Tokenizer
from conftest import Run

FLOOR = roofline.Roofline(1e11, 1e10, 1e10, 2e11, 1e10)


@pytest.fixture(autouse=True)
def floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "measure", lambda threads: FLOOR)


def test_latency_prints_the_floor_and_our_rows(run: Run) -> None:
    code, out, _ = run(
        "bench", "latency", "--shape", "1m", "--context", "200", "--new", "1", "--new", "4",
        "--rounds", "1", "--threads", "1", "--peer", "none",
    )  # fmt: skip
    assert code == 0
    for name in ("floor", *latency.OURS):
        assert f"\n| {name} |" in out
    assert "not run" not in out and "4 new, ms" in out


def test_a_peer_that_is_missing_is_a_row(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "bench", "latency", "--shape", "1m", "--context", "50", "--new", "2", "--rounds", "1",
        "--threads", "1", "--peer", "OpenVINO int8", "--peers-python", tmp_path / "python",
    )  # fmt: skip
    assert code == 0 and "| OpenVINO int8 (not run: " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "12m"], "shape '12m' is unknown"),
        (["--rounds", "0"], "at least 1"),
        (["--peer", "vim"], "peer 'vim' is unknown"),
    ],
)
def test_latency_refuses_what_it_does_not_know(
    run: Run, arguments: list[str], message: str
) -> None:
    code, _, err = run("bench", "latency", *arguments)
    assert code == 2 and message in err


def test_the_floor_is_matrices_attention_and_bytes() -> None:
    config = latency.shapes.named("97m")
    assert FLOOR.prefill(config, 2000, 2) == pytest.approx((680e9 + 147e9) / 2e11, rel=0.01)
    assert FLOOR.step(config, 2000, 2) == pytest.approx((97e6 + 147e6) / 1e10, rel=0.05)


def test_the_cost_by_context_is_a_table_and_a_plot(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "bench", "latency", "--shape", "1m", "--contexts", "40,90", "--batch", "1", "--rounds", "1",
        "--threads", "1", "--plot", tmp_path / "plots/context",
    )  # fmt: skip
    assert code == 0
    head = next(line for line in out.splitlines() if line.startswith("| context"))
    for measure in ("prompt", "a step"):
        assert f"floor, {measure}, ms" in head and f"ours int8, {measure}, ms" in head
    assert "\n| 40 |" in out and "\n| 90 |" in out and "![" in out
    for ending in ("png", "svg"):
        assert (tmp_path / f"plots/context-1m.{ending}").stat().st_size > 5000


def test_a_peer_that_is_missing_has_no_line(tmp_path: Path) -> None:
    rows = latency.by_context("1m", [40, 60], 1, 1, 1, ["OpenVINO int8"], str(tmp_path), FLOOR)
    assert [row["OpenVINO int8, prompt, ms"] for row in rows] == ["not run", "not run"]
    assert all(row["ours int8, a step, ms"] > 0 for row in rows)
    assert len(latency.draw(rows, "1m", tmp_path / "x")) == 2


def test_lengths_are_numbers() -> None:
    assert latency.lengths("256, 1000") == [256, 1000] and latency.lengths("") == []
    with pytest.raises(UserError, match="write lengths like"):
        latency.lengths("256,many")


@pytest.mark.parametrize("model", ["default", "97m", "1m int4"])
def test_little_memory_is_held_beside_weights_and_cache(model: str) -> None:
    """In a fresh process, as loading and answering leave it, the cache full."""
    [row] = latency.memory([model], 1)
    assert 0 < row["beside both, MB"] <= latency.SPARE
    assert row["peak resident, MB"] > row["weights, MB"] + row["cache, MB"]


def test_the_memory_of_what_is_unknown_is_not_measured(run: Run) -> None:
    code, _, err = run("bench", "latency", "--memory", "--shape", "no-such-model")
    assert code == 2 and "no-such-model" in err


def test_typing_counts_what_is_recomputed() -> None:
    rows = keystrokes.table("default", 1, 25, 5, 4, 1, [], "python")
    assert [row["engine"] for row in rows] == ["ours", "ours, every key computed"]
    assert rows[1]["keystrokes"] == 25 and rows[1]["recomputed, median"] <= 2


def test_throughput_is_beside_transformers(tmp_path: Path) -> None:
    task = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "canonical_solution": "    pass\n",
            "test": "def check(c):\n    pass\n", "entry_point": "f"}  # fmt: skip
    path = tmp_path / "HumanEval.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(task).encode()))
    rows = throughput.table(path, "default", 1, 2, 1, str(tmp_path / "python"))
    assert [row["tokens"] for row in rows[:4]] == [128] * 4
    assert "not run" in rows[4]["engine"]


def test_files_that_are_run_by_themselves_hide_no_module_of_python() -> None:
    """A script's folder comes first on its path: a typing.py in it would break every other."""
    folder = Path(latency.__file__).parent
    names = {path.stem for path in (*folder.glob("*.py"), *folder.glob("engines/*.py"))}
    assert not names & sys.stdlib_module_names


def test_the_verb_types(run: Run) -> None:
    code, out, _ = run(
        "bench", "typing", "--files", "1", "--keystrokes", "3", "--new", "2", "--threads", "1",
        "--peer", "none",
    )  # fmt: skip
    assert code == 0 and "| ours, every key computed | 3 |" in out


def test_there_are_places_for_many_who_type() -> None:
    tokenizer = Tokenizer.load(resolve("codegen25-4m-mono") / "tokenizer.json")
    found = keystrokes.places(tokenizer, 64, 300, 1024)
    assert len(found) == len(set(found)) == 64
    assert found[:20] == keystrokes.places(tokenizer, 20, 300, 1024)
    assert all(len(each.typed) == 300 for each in found)
