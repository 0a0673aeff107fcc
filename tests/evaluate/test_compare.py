from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eval_helpers import infill_rows, whole_rows, write

from codegen25.evaluate.statistics import pass_at_k
from conftest import Run


def made(
    folder: Path,
    passes: dict[str, list[int]],
    *,
    temperature: float = 0.2,
    form: str = "truncated",
    texts: dict[str, str] | None = None,
    **said: Any,
) -> Path:
    """A run folder: of each task which samples passed."""
    folder.mkdir()
    conditions = {"benchmark": "HumanEval", "data_sha256": "0", "model": folder.name, **said}
    (folder / "run.json").write_text(json.dumps(conditions))
    samples, verdicts = [], []
    for task, each in passes.items():
        for i, passed in enumerate(each):
            key = {"task_id": task, "sample": i, "temperature": temperature}
            text = (texts or {}).get(task, "x")
            samples.append({**key, "raw": text, "completion": text, "stop_reason": "end"})
            status = "passed" if passed else "failed"
            verdicts.append({**key, "form": form, "status": status})
    write(folder / "samples.jsonl", samples)
    write(folder / "verdicts.jsonl", verdicts)
    return folder


def test_a_difference_its_interval_and_its_tasks(run: Run, tmp_path: Path) -> None:
    hard = {f"HumanEval/{i}": [0, 0, 0, 0] for i in range(40)}
    one = made(tmp_path / "one", {**hard, "HumanEval/50": [1, 0, 0, 0], "HumanEval/51": [1] * 4})
    gains = {f"HumanEval/{i}": [1, 1, 0, 0] for i in range(30)}
    other = made(
        tmp_path / "other",
        {**hard, **gains, "HumanEval/50": [0] * 4, "HumanEval/51": [1] * 4, "HumanEval/99": [1]},
    )
    code, out, err = run("eval", "compare", one, other)
    assert code == 0, err
    assert "42 tasks of both, T 0.2" in out and "(one)" in out and "(other)" in out
    expected = 100 * (30 * 0.5 - 0.25) / 42
    assert f"| +{expected:.2f} % [" in out and "differs" in out
    assert "more often on 30 tasks, less often on 1, as often on 11" in out
    assert "| HumanEval/50 | 25.0% | 0.0% |" in out and "and 20 tasks more" in out
    code, told, _ = run("eval", "compare", one, other, "--json")
    [found] = json.loads(told)
    assert len(found["better"]) == 30 and found["worse"] == ["HumanEval/50"]
    assert found["metrics"]["pass@1"]["certain"] and "pass@10" not in found["metrics"]
    back = json.loads(run("eval", "compare", other, one, "--json")[1])[0]["metrics"]["pass@1"]
    there = found["metrics"]["pass@1"]["difference"]
    assert back["difference"]["value"] == pytest.approx(-there["value"])


def test_a_run_beside_itself_is_the_same(run: Run, tmp_path: Path) -> None:
    one = made(tmp_path / "one", {f"HumanEval/{i}": [i % 2] * 12 for i in range(9)})
    code, out, _ = run("eval", "compare", one, one)
    assert code == 0 and out.count("+0.00 % [+0.00, +0.00] | may be chance |") == 2
    assert "more often on 0 tasks" in out and "| task |" not in out


def test_pairing_sees_what_two_intervals_hide(run: Run, tmp_path: Path) -> None:
    """Each task a little better: the runs' own intervals overlap, the paired one leaves out 0."""
    shares = {f"HumanEval/{i}": i for i in range(10)}
    one = made(tmp_path / "one", {t: [1] * i + [0] * (12 - i) for t, i in shares.items()})
    other = made(tmp_path / "other", {t: [1] * (i + 1) + [0] * (11 - i) for t, i in shares.items()})
    [found] = json.loads(run("eval", "compare", one, other, "--json")[1])
    one_rate = found["metrics"]["pass@1"]
    assert one_rate["difference"]["low"] == pytest.approx(1 / 12) and one_rate["certain"]
    ten = found["metrics"]["pass@10"]
    expected = sum(pass_at_k(12, i + 1, 10) - pass_at_k(12, i, 10) for i in range(10)) / 10
    assert ten["difference"]["value"] == pytest.approx(expected)


def test_infills_are_compared_by_their_references_too(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "holes.jsonl", infill_rows(3))
    names = [row["task_id"] for row in infill_rows(3)]
    said = {"benchmark": "SingleLineInfilling", "form": "emitted"}
    right = dict.fromkeys(names, "    y = x\n")
    one = made(tmp_path / "one", {name: [0] for name in names}, **said)
    other = made(tmp_path / "other", {name: [1] for name in names}, texts=right, **said)
    write(one / "bits.jsonl", [{"task_id": names[0], "size": 10, "bits": 8.0}])
    write(other / "bits.jsonl", [{"task_id": names[0], "size": 10, "bits": 5.0}])
    code, out, err = run("eval", "compare", one, other)
    assert code == 0, err
    assert "| stop rate | 100.00 % | 100.00 % | +0.00 %" in out and "exact match" not in out
    assert "| bits per byte | 0.800 | 0.500 | -0.300 [-0.300, -0.300] | differs |" in out
    code, out, err = run("eval", "compare", one, other, "--data", file)
    assert code == 0 and "| exact match | 0.00 % | 100.00 % | +100.00 %" in out, err


def test_what_cannot_be_compared(run: Run, tmp_path: Path) -> None:
    one = made(tmp_path / "one", {"HumanEval/0": [1]})
    for name, changed, said in (
        ("a", {"data_sha256": "1"}, "not of the same file of tasks"),
        ("b", {"passes": {"HumanEval/1": [1]}}, "no task in common"),
        ("c", {"form": "emitted"}, "no verdicts on answers of one form"),
    ):
        passes = changed.pop("passes", {"HumanEval/0": [1]})
        other = made(tmp_path / name, passes, **changed)  # type: ignore[arg-type]
        code, _, err = run("eval", "compare", one, other)
        assert code == 2 and said in err and err.count("\n") == 1, err
    code, _, err = run("eval", "compare", one, tmp_path)
    assert code == 2 and "no run folder" in err
    # Runs of one temperature each are compared whatever these are.
    warm = made(tmp_path / "warm", {"HumanEval/0": [0]}, temperature=0.8)
    code, out, _ = run("eval", "compare", one, warm)
    assert code == 0 and "T 0.2 and 0.8" in out


def test_real_runs_of_one_command(run: Run, model_dir: Path, tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", whole_rows(2))
    asked = ("eval", "humaneval", "--data", tasks, "--model", model_dir, "--max-tokens", 6)
    for seed in (0, 1):
        code, _, err = run(
            *asked, "--n", 2, "--temperatures", "1", "--seed", seed, "--out", tmp_path / f"r{seed}"
        )
        assert code == 0, err
    code, out, err = run("eval", "compare", tmp_path / "r0", tmp_path / "r1")
    assert code == 0 and "2 tasks of both, T 1" in out and "bits per byte" in out, err
