"""`codegen25 eval`: a model, a file of tasks, a table."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from codegen25.errors import UserError
from codegen25.evaluate import sandbox
from codegen25.evaluate.infilling import Outcome, Scores, Task, echoes, read_tasks, score

DEFAULT = "default"
Infiller = Callable[[Task], tuple[str, bool]]
"""A task to its middle, and whether the answer ended by itself."""


def run(
    data: Path,
    model: str,
    layout: str | None,
    max_tokens: int,
    limit: int | None,
    floor: bool,
    samples: Path | None,
    as_json: bool,
) -> None:
    """Answer every task greedily, run the programs, print the scores."""
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: at least 1")
    if floor and (model != DEFAULT or layout is not None):
        raise UserError("--floor scores the empty string; it takes no --model and no --layout")
    if samples is not None and not samples.absolute().parent.is_dir():
        raise UserError(f"--samples {samples}: there is no such folder to write to")
    tasks = read_tasks(data)[:limit]
    name = "empty string" if floor else model
    infiller = (lambda task: ("", True)) if floor else _engine(model, layout, max_tokens)
    outcomes = _outcomes(tasks, infiller)
    scores = score(outcomes)
    if as_json:
        print(json.dumps({"model": name, "data": data.name, **dataclasses.asdict(scores)}))
    else:
        print(table(name, data.name, scores), end="")
    if samples is not None:
        text = "".join(json.dumps(dataclasses.asdict(o)) + "\n" for o in outcomes)
        staging = samples.with_name(f".{samples.name}.new")
        staging.write_text(text, encoding="utf-8")
        staging.replace(samples)


def table(model: str, data: str, scores: Scores) -> str:
    """The scores as Markdown, 95 % intervals in brackets."""
    head = "| model | data | tasks | pass@1 | exact match | stop rate | suffix echo |"
    row = (
        f"| {model} | {data.split('.')[0]} | {scores.tasks} | {scores.pass_at_1} "
        f"| {scores.exact_match} | {scores.stop_rate} | {scores.suffix_echo} |"
    )
    return f"{head}\n|---|---|---|---|---|---|---|\n{row}\n"


def _engine(model: str, layout: str | None, max_tokens: int) -> Infiller:
    from codegen25.models import resolve
    from codegen25.sample.engine import Engine

    engine = Engine.load(resolve(model))

    def infill(task: Task) -> tuple[str, bool]:
        answer = engine.infill(task.prompt, task.suffix, max_tokens=max_tokens, layout=layout)
        return answer.text, answer.stop_reason == "end"

    return infill


def _outcomes(tasks: list[Task], infiller: Infiller) -> list[Outcome]:
    verdict = lru_cache(maxsize=None)(sandbox.run)
    answers = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, task in enumerate(tasks, 1):
            middle, stopped = infiller(task)
            answers.append((task, middle, stopped, pool.submit(verdict, task.program(middle))))
            if sys.stderr.isatty():
                print(f"\r\033[Ktask {number}/{len(tasks)}", end="", file=sys.stderr, flush=True)
        return [
            Outcome(
                task_id=task.task_id,
                problem=task.problem,
                middle=middle,
                passed=(result := future.result()).passed,
                exact=middle.strip() == task.canonical_solution.strip(),
                stopped=stopped,
                echoed=echoes(middle, task.suffix),
                status=result.status,
            )
            for task, middle, stopped, future in answers
        ]
