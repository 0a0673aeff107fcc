"""`codegen25 eval humaneval|infill`: what is asked for to a table, and a run folder."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate import curve, data, evaluate
from codegen25.evaluate.generate import Floor, Generator, Settings
from codegen25.evaluate.run_folder import opened
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.table import table
from codegen25.evaluate.truncate import check_rule
from codegen25.models import DEFAULT, resolve
from codegen25.sample.options import Sampling


@dataclass(frozen=True)
class Common:
    """The options that the verbs share."""

    data: str | None
    out: Path | None
    isolation: str
    limit: int | None
    workers: int
    as_json: bool
    log: Path | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: at least 0, which is one a core")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: at least 1")


def run(
    name: str,
    common: Common,
    settings: Settings,
    n: int,
    temperatures: str | None,
    model: str,
    endpoint: str | None,
    floor: bool,
    chat: bool = False,
) -> None:
    """`eval humaneval` and `eval infill`: sample, judge, score the set of a name."""
    check_rule(settings.truncation)
    if chat:
        settings = _as_chat(settings, endpoint)
    default = "0" if n == 1 else "0.2,0.6,0.8" if name == "humaneval" else "0.2"
    plan = evaluate.Plan(n, _temperatures(temperatures or default), common.limit)
    for temperature in plan.temperatures:
        Sampling(temperature, settings.top_p, settings.seed)
    if floor and (model != DEFAULT or endpoint or settings.layout):
        raise UserError(
            "--floor scores the empty string; it takes no --model, --endpoint or --layout"
        )
    if endpoint and settings.layout:
        raise UserError("--layout goes with a model; an --endpoint composes its prompts itself")
    benchmark = data.load(common.data, name)
    _check_kind(benchmark, name)
    if settings.instruct:
        benchmark = data.Benchmark(
            f"{benchmark.name}-instruct", benchmark.source, benchmark.sha256, benchmark.tasks
        )
    at = _logged(common.log, model, endpoint, floor)
    with run_folder(common.out) as path, opened(path) as folder:
        generator = _generator(settings, model, endpoint, floor, common.workers, chat)
        with Sandbox(common.workers, common.isolation) as box:
            scores = evaluate.run(benchmark, generator, settings, plan, folder, box)
        if common.log is not None:
            curve.note(common.log, at, scores)
        show(scores, common, benchmark.source)


def _logged(log: Path | None, model: str, endpoint: str | None, floor: bool) -> Mapping[str, int]:
    """Where on a training run's curve the model stands, asked before the work."""
    if log is None:
        return {}
    if endpoint or floor:
        raise UserError("--log goes with a --model that the training run wrote")
    return curve.point(resolve(model), log)


def _as_chat(settings: Settings, endpoint: str | None) -> Settings:
    """Of a chat the code block counts, nothing else cuts it."""
    if not endpoint:
        raise UserError("--chat asks a server: name it with --endpoint; --instruct asks a model")
    if settings.to_the_end:
        raise UserError("--to-the-end goes with completions; of a --chat the code block counts")
    return replace(settings, instruct=True, truncation="none")


def _generator(
    settings: Settings, model: str, endpoint: str | None, floor: bool, workers: int, chat: bool
) -> Generator:
    if floor:
        return Floor(settings)
    if endpoint:
        from codegen25.evaluate.endpoint import Endpoint

        return Endpoint(
            endpoint, None if model == DEFAULT else model, settings, workers, as_chat=chat
        )
    from codegen25.evaluate.local import Local

    return Local(resolve(model), settings, workers)


def _check_kind(benchmark: data.Benchmark, name: str) -> None:
    infill = benchmark.tasks[0].infill
    if infill != (name not in ("humaneval", "humaneval-plus", "mbpp")):
        verb, other = ("infill", "humaneval") if infill else ("humaneval", "infill")
        raise UserError(f"{benchmark.source}: its tasks are for `eval {verb}`, not `eval {other}`")


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError as error:
        raise UserError(f"--temperatures {text}: numbers with commas between, 0.2,0.8") from error
    if not all(math.isfinite(each) for each in found):
        raise UserError(f"--temperatures {text}: numbers with commas between, 0.2,0.8")
    return found


@contextmanager
def run_folder(out: Path | None) -> Iterator[Path]:
    """The run's folder; without --out one that goes away."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="codegen25-eval-") as name:
        yield Path(name)


def _report(common: Common, source: str) -> None:
    """The run's own report, in its folder."""
    if common.out is None:
        return
    from codegen25.evaluate import report

    tasks = Path(source)
    report.run([common.out], common.out, tasks if tasks.is_file() else None)


def show(scores: Mapping[str, Any], common: Common, source: str) -> None:
    """Print the scores; into the run's folder goes its report."""
    if common.as_json:
        print(json.dumps(scores))
    else:
        print(table(scores), end="")
    _report(common, source)
