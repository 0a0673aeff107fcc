from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from codegen25.evaluate import sandbox
from codegen25.evaluate.infilling import Outcome, echoes, read_tasks, score
from codegen25.evaluate.statistics import clustered_rate
from conftest import Run

TASK = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "prompt": "def one():\n",
    "suffix": "",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    rows = [TASK | {"task_id": f"SingleLineInfilling/HumanEval/{i}/L0"} for i in range(3)]
    path = tmp_path / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("x = 1", "passed"),
        ("assert False", "failed"),
        ("x = (", "failed"),
        ("import sys; sys.exit(0)", "failed"),
        ("import os; os._exit(0)", "failed"),
        ("while True: pass", "timeout"),
        ("x = bytearray(3 << 30)", "failed"),
        ("open('x', 'wb').write(b'0' * (2 << 20))", "failed"),
        ("raise SystemExit", "failed"),
        ("print('x' * 10**6); input()", "failed"),
    ],
)
def test_a_program_passes_only_by_reaching_its_end(program: str, status: str) -> None:
    assert sandbox.run(program).status == status


def test_a_program_leaves_no_file_behind(tmp_path: Path) -> None:
    assert sandbox.run("open('left', 'w').write('x')").passed
    assert not Path("left").exists()


def test_the_interval_is_wider_when_tasks_hang_together() -> None:
    alone = {str(i): [i % 2 == 0] for i in range(200)}
    together = {str(i): [i % 2 == 0] * 20 for i in range(10)}
    one, other = clustered_rate(alone), clustered_rate(together)
    assert one.value == other.value == 0.5
    assert one.low < 0.5 < one.high
    assert other.high - other.low > 2 * (one.high - one.low)


def test_scores_count_what_happened() -> None:
    outcomes = [
        Outcome("t", str(i), "x", passed=i < 2, exact=i < 1, stopped=True, echoed=False, status="")
        for i in range(10)
    ]
    scores = score(outcomes)
    assert (scores.pass_at_1.value, scores.exact_match.value) == (0.2, 0.1)
    assert (scores.stop_rate.value, scores.suffix_echo.value) == (1.0, 0.0)


def test_an_echo_is_the_suffix_once_more() -> None:
    assert echoes("x = 1\n    return x\n", "\n    return x\n")
    assert not echoes("x = 1\n", "\n    return x\n") and not echoes("x = 1\n", "  \n")


def test_the_floor_and_a_model_on_the_command_line(
    run: Run, tasks: Path, model_dir: Path, tmp_path: Path
) -> None:
    code, out, _ = run("eval", tasks, "--floor")
    assert code == 0 and "| empty string | tasks | 3 | 0.00%" in out
    samples = tmp_path / "samples.jsonl"
    code, out, _ = run(
        "eval", tasks, "--model", model_dir, "--max-tokens", 8, "--json", "--samples", samples
    )
    assert code == 0 and json.loads(out)["tasks"] == 3
    assert len(samples.read_text().splitlines()) == 3


def test_a_file_that_holds_no_tasks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n")
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("x.jsonl", "x.jsonl.gz", "empty.jsonl", "missing"):
        code, _, err = run("eval", tmp_path / name, "--floor")
        assert code == 2 and name in err and err.count("\n") == 1


@pytest.mark.slow
def test_the_canonical_solutions_pass_and_the_floor_is_known(humaneval: Path) -> None:
    tasks = read_tasks(humaneval / "HumanEval-SingleLineInfilling.jsonl.gz")
    assert len(tasks) == 1033
    some = tasks[::25]
    assert all(sandbox.run(task.program(task.canonical_solution)).passed for task in some)
    empty = sum(sandbox.run(task.program("")).passed for task in tasks)
    assert empty == 27
