"""HumanEval-Infill: rows, programs, and what is measured besides passing.

Program and fields as in openai/human-eval-infilling (Bavarian et al. 2022).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen25.errors import UserError
from codegen25.evaluate.statistics import Rate, clustered_rate


@dataclass(frozen=True)
class Task:
    """One hole in one of HumanEval's solutions."""

    task_id: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str
    entry_point: str

    @property
    def problem(self) -> str:
        """The HumanEval problem it was cut from: "SingleLineInfilling/HumanEval/7/L2" -> "7"."""
        return self.task_id.split("/")[2]

    def program(self, middle: str) -> str:
        """What is run for an answer."""
        source = self.prompt + middle + self.suffix
        return f"{source}\n{self.test}\ncheck({self.entry_point})"


@dataclass(frozen=True)
class Outcome:
    """One answer to one task."""

    task_id: str
    problem: str
    middle: str
    passed: bool
    exact: bool
    stopped: bool
    echoed: bool
    status: str


def read_tasks(path: Path) -> list[Task]:
    """The rows of a HumanEval-Infill file."""
    names = Task.__dataclass_fields__
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        tasks = [Task(**{name: row[name] for name in names}) for row in rows]
        problems = {task.problem for task in tasks}
    except (
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: no HumanEval-Infill file ({error!r})") from error
    if not problems:
        raise UserError(f"{path}: no tasks in it")
    return tasks


def echoes(middle: str, suffix: str) -> bool:
    """Whether an answer writes the suffix's first non-blank line once more."""
    lines = [line for line in suffix.splitlines() if line.strip()]
    return bool(lines) and lines[0] in middle.splitlines()


@dataclass(frozen=True)
class Scores:
    """What a set of outcomes says. Rates are over tasks, intervals over problems."""

    tasks: int
    pass_at_1: Rate
    exact_match: Rate
    stop_rate: Rate
    suffix_echo: Rate


def score(outcomes: Sequence[Outcome]) -> Scores:
    """Rates with intervals of one answer a task."""

    def rate(values: Sequence[bool]) -> Rate:
        by_problem: dict[str, list[bool]] = defaultdict(list)
        for outcome, value in zip(outcomes, values, strict=True):
            by_problem[outcome.problem].append(value)
        return clustered_rate(by_problem)

    return Scores(
        tasks=len(outcomes),
        pass_at_1=rate([o.passed for o in outcomes]),
        exact_match=rate([o.exact for o in outcomes]),
        stop_rate=rate([o.stopped for o in outcomes]),
        suffix_echo=rate([o.echoed for o in outcomes]),
    )
