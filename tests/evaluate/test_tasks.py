from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codegen25.errors import UserError
from codegen25.evaluate import data
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.tasks import Task, read_row
from conftest import Run

PLUS = {
    "task_id": "HumanEval/1000",
    "prompt": "def half(x):\n",
    "canonical_solution": "    return [each / 2 for each in x]\n",
    "entry_point": "half",
    "base_input": [[[1, 2]]],
    "plus_input": [[[1e9, 3]], [[]]],
    "atol": 0,
}
MBPP = {
    "task_id": 11,
    "text": "Write a function to add two numbers.",
    "code": "def helper(a):\r\n  return a\r\ndef add(a, b):\r\n  return helper(a) + b",
    "test_list": ["assert add(1, 2) == 3", "assert set([add(0, 0)]) == {0}"],
    "test_setup_code": "",
}
POLYNOMIAL = {
    **PLUS,
    "prompt": "def poly(xs, x):\n    return sum(c * x**i for i, c in enumerate(xs))\n\n"
    "def find_zero(xs):\n",
    "canonical_solution": "    return -xs[0] / xs[1]\n",
    "entry_point": "find_zero",
    "base_input": [[[1, 2]]],
    "plus_input": [[[-6, 11, -6, 1]]],
    "atol": 1e-4,
}


def verdicts(*cases: tuple[Task, str]) -> list[str]:
    with Sandbox(workers=1) as box:
        found = dict(box.run([task.program(answer) for task, answer in cases]))
    return [found[i].status for i in range(len(cases))]


def test_assertion_lists_decide() -> None:
    task = read_row(MBPP)
    assert (task.task_id, task.entry_point, task.benchmark) == ("Mbpp/11", "add", "Mbpp")
    assert "add two numbers" in task.given and "assert add(1, 2) == 3" in task.given
    found = verdicts(
        (task, task.canonical_solution),
        (task, "def add(a, b):\n    return a + b\n"),
        (task, "def add(a, b):\n    return a - b\n"),
        (task, "x = 1"),
    )
    assert found == ["passed", "passed", "failed", "failed"]


def test_mbpp_plus_imports_are_the_tests() -> None:
    row: dict[str, Any] = {**MBPP, "prompt": "Add.", "test_imports": ["import math"]}
    row["test_list"] = ["assert math.isclose(add(1, 2), 3)"]
    del row["text"]
    task = read_row(row)
    assert verdicts((task, task.canonical_solution)) == ["passed"]


def test_the_reference_decides_where_there_are_only_inputs() -> None:
    task, root = read_row(PLUS), read_row(POLYNOMIAL)
    found = verdicts(
        (task, task.canonical_solution),
        (task, "    return [each * (0.5 + 1e-9) for each in x]\n"),
        (task, "    return [each // 2 for each in x]\n"),
        (task, "    return None\n"),
        (root, "    return {2: -0.5, 4: 2.0}[len(xs)]\n"),
        (root, "    return 1.5\n"),
    )
    assert found == ["passed", "passed", "failed", "failed", "passed", "failed"]


def test_other_languages_bring_their_tests_and_their_ends() -> None:
    row = {
        "name": "HumanEval_0_add", "language": "sh", "prompt": "add() {\n",
        "tests": '[ "$(add 1 2)" = 3 ] || exit 1\n', "stop_tokens": ["\n}"],
    }  # fmt: skip
    task = read_row(row)
    assert (task.language, task.stop_words, task.entry_point) == ("shell", ("\n}",), "add")
    assert task.program("  x\n}\n").source == "add() {\n  x\n}\n"
    assert task.program("").language == "shell"


def test_the_sets_of_humaneval(humaneval: Path) -> None:
    whole = data.load(str(humaneval), "humaneval")
    lines = data.load(str(humaneval), "single-line")
    light = data.load(str(humaneval), "random-span-light")
    assert [len(each.tasks) for each in (whole, lines, light)] == [164, 1033, 164]
    assert (whole.name, lines.name) == ("HumanEval", "SingleLineInfilling")
    assert len({task.problem for task in lines.tasks}) == 164
    assert {task.problem for task in lines.tasks} == {task.task_id for task in whole.tasks}
    assert whole.tasks[32].program("x").helpers.startswith("import math")


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}\n", ":1: no task"),
        (b"[]\n", "no JSON object"),
        (b"nonsense\n", ":1: no task"),
        (b"", "no tasks"),
        (b"\xff\xfe", "cannot be read"),
        (json.dumps({**MBPP, "code": "x = ("}).encode(), ":1: no task"),
        (json.dumps({**MBPP, "test_list": ["assert other(1)"]}).encode(), "call no function"),
        (json.dumps({**PLUS, "base_input": 3}).encode(), ":1: no task"),
        (json.dumps({**PLUS, "prompt": None}).encode(), "prompt is no text"),
        (f"{json.dumps(PLUS)}\n{json.dumps(PLUS)}".encode(), "there twice"),
    ],
)
def test_a_file_that_holds_no_tasks(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=said):
        data.read(tmp_path / "x.jsonl")


def test_files_that_are_not_there_or_no_gzip(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    for name in ("x.jsonl.gz", "y.jsonl.gz"):
        with pytest.raises(UserError, match=name):
            data.read(tmp_path / name)
    for where in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises(UserError, match="--data"):
            data.load(where, "humaneval")
    with pytest.raises(UserError, match="--data"):
        data.files(str(tmp_path / "missing"))


def test_the_cache_is_where_data_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    folder = tmp_path / "data/humaneval"
    folder.mkdir(parents=True)
    write(folder / "HumanEvalPlus.jsonl", PLUS)
    found = data.load(None, "humaneval-plus")
    assert found.tasks[0].entry_point == "half" and found.name == "HumanEvalPlus"


SHELL = {
    "name": "HumanEval_53_add",
    "language": "sh",
    "prompt": "#!/bin/bash\n# Adds two numbers.\n# $1 is an integer\nadd() {\n",
    "tests": '}\n\ncandidate() {\n    add "$@"\n}\n\nset -e\nrun_test() {\n'
    '    [[ $(candidate "2" "3") = "5" ]]\n    [[ $(candidate "0" "1") = "1" ]]\n}\n\nrun_test\n',
    "stop_tokens": ["\n}"],
}
"""In MultiPL-E's form: the tests begin with the brace that the stop token took."""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_a_shell_benchmark_from_samples_to_report(run: Run, tmp_path: Path) -> None:
    other = {**SHELL, "name": "HumanEval_54_add"}
    tasks = write(tmp_path / "sh.jsonl", SHELL, other)
    answers = ["    echo $(($1 + $2))", "    echo $1", "    while :; do :; done"]
    rows = [{"task_id": "HumanEval_53_add", "completion": text} for text in answers]
    rows += [{"task_id": "HumanEval_54_add", "completion": f"{answers[0]}\n}}\nadd() {{\nexit 1"}]
    samples = write(tmp_path / "samples.jsonl", *rows)
    out = tmp_path / "run"
    code, said, err = run("eval", "score", samples, "--data", tasks, "--out", out, "--truncation",
                          "stop-words")  # fmt: skip
    assert code == 0, err
    assert "samples.jsonl on HumanEval-shell: 2 tasks, 4 samples (truncated)" in said
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    kept = {(v["task_id"], v["sample"]): v["status"] for v in verdicts if v["form"] == "truncated"}
    assert kept == {
        ("HumanEval_53_add", 0): "passed", ("HumanEval_53_add", 1): "failed",
        ("HumanEval_53_add", 2): "timeout", ("HumanEval_54_add", 0): "passed",
    }  # fmt: skip
    forgeable = "hell: the exit code is the verdict, so a sample can forge a pass"
    report = (out / "report.md").read_text()
    shown = (said, report, (out / "report.html").read_text(), (out / "scores.json").read_text())
    assert all(forgeable in each for each in shown)
    assert "## HumanEval-shell" in report and "| HumanEval_53_add | 1 of 3 |" in report.replace(
        "\\", ""
    )
    page = (out / "report.html").read_text()
    assert "Adds two numbers." in page


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (SHELL, "HumanEval-shell"),
        ({**SHELL, "name": "mbpp_3_is_not_prime", "language": "pl"}, "mbpp-perl"),
        (MBPP, "Mbpp"),
        (PLUS, "HumanEvalPlus"),
        ({**PLUS, "task_id": "Mbpp/3"}, "MbppPlus"),
    ],
)
def test_a_set_has_a_name(row: dict[str, Any], name: str) -> None:
    assert read_row(row).benchmark == name
