from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from codegen25.bench import sandbox as bench
from codegen25.errors import UserError


def test_every_engine_has_a_row(humaneval: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    rows = [
        {"task_id": "HumanEval/2", "completion": "    return number % 1.0\n"},
        {"task_id": "HumanEval/2", "completion": "    return number\n"},
        {"task_id": "HumanEval/23", "completion": "    return len(string)\n"},
    ]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = bench.side_by_side(humaneval, samples, 1, 1, 1, sys.executable)
    assert [row["engine"] for row in table] == list(bench.ENGINES)
    for row in table:
        absent = "not installed" in row["remark"]
        assert absent or (row["fewest passed"] == 2 and row["CPU ms/sample"] > 0), row
    assert all(row["fewest passed"] == 2 for row in table[:4])


def test_canonical_solutions_are_made_unequal(humaneval: Path) -> None:
    rows = bench._rows(humaneval, None, 2)
    assert len({bench._source(row) for row in rows}) == 2 * 164


def test_recorded_calls_are_those_of_the_test() -> None:
    row = {
        "prompt": "def f(x):\n",
        "canonical_solution": "    x.append(1)\n    return len(x)\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate([]) == 1 and candidate([1]) == 2",
    }
    assert bench._recorded(row) == ([([],), ([1],)], [1, 2])


def test_bad_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no HumanEval"):
        bench.run_sandbox(tmp_path, None, 1, 1, sys.executable)
    with pytest.raises(UserError, match="at least 1"):
        bench.run_sandbox(tmp_path, None, 0, 1, sys.executable)
