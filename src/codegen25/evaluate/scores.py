"""What scores.json says of a run: each temperature's metrics, and the best pass@k of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from codegen25.evaluate import metrics
from codegen25.evaluate.judge import EMITTED, ORACLE, TRUNCATED
from codegen25.evaluate.samples import TROUBLE, Judged, Sample
from codegen25.evaluate.statistics import Rate
from codegen25.evaluate.tasks import Task

FORGEABLE = "the exit code is the verdict, so a sample can forge a pass, by exiting before its test"
"""What is said of tasks in other languages than Python: see docs/sandbox.md."""


def scored(
    said: Mapping[str, Any],
    tasks: Sequence[Task],
    samples: Sequence[Sample],
    verdicts: Sequence[Judged],
    whole: int,
) -> dict[str, Any]:
    """The content of scores.json: each temperature's metrics, and the best pass@k of all."""
    by_id = {task.task_id: task for task in tasks}
    found_forms = [
        form
        for form in (_first(by_id[samples[0].task_id]), TRUNCATED, EMITTED, ORACLE)
        if any(each.form == form for each in verdicts)
    ]
    form = found_forms[0]
    by_temperature: dict[str, dict[str, Any]] = {}
    best: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for temperature in dict.fromkeys(sample.temperature for sample in samples):
        here = [sample for sample in samples if sample.temperature == temperature]
        rates, refused = metrics.pass_at(by_id, verdicts, form, temperature)
        notes += [note for note in refused if note not in notes]
        if EMITTED in found_forms and form == TRUNCATED:
            raw, _ = metrics.pass_at(by_id, verdicts, EMITTED, temperature)
            rates |= {f"{name} as emitted": rate for name, rate in raw.items()}
        if by_id[here[0].task_id].infill:
            rates |= metrics.infill_metrics(by_id, here, verdicts)
        counted = Counter(sample.task_id for sample in here)
        by_temperature[f"{temperature:g}"] = {
            "metrics": {name: asdict(rate) for name, rate in rates.items()},
            "samples_per_task": dict(counted),
        }
        for name, rate in rates.items():
            _keep_best(best, name, rate, temperature)
    trouble = sum(each.status == TROUBLE for each in verdicts)
    if trouble:
        notes.append(f"{trouble} verdicts were not reached (infra-error); not counted, run again")
    foreign = sorted({by_id[sample.task_id].language for sample in samples} - {"python"})
    if foreign:
        notes.append(f"{', '.join(foreign)}: {FORGEABLE}")
    attempted = len({sample.task_id for sample in samples})
    return {
        "benchmark": said["benchmark"],
        "model": said["model"],
        "tasks": attempted,
        "tasks_in_benchmark": whole,
        "samples": len(samples),
        "isolation": said["isolation"],
        "form": form,
        "metrics": best,
        "by_temperature": by_temperature,
        "statuses": {form: metrics.statuses(verdicts, form) for form in dict.fromkeys(found_forms)},
        "notes": notes,
    }


def _first(task: Task) -> str:
    return EMITTED if task.infill else TRUNCATED


def _keep_best(best: dict[str, dict[str, Any]], name: str, rate: Rate, temperature: float) -> None:
    """pass@k of the temperature where it is highest; anything else of the first temperature."""
    larger = name.startswith("pass@") and name in best and rate.value > best[name]["value"]
    if name not in best or larger:
        best[name] = {**asdict(rate), "temperature": temperature}
