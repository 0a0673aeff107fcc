"""`codegen25 eval score`: samples that somebody made, judged, and results in their own form."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate import data, evaluate, samples
from codegen25.evaluate.command import Common, run_folder, show
from codegen25.evaluate.journal import write_json
from codegen25.evaluate.judge import EMITTED, TRUNCATED
from codegen25.evaluate.run_folder import about, opened
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.scores import scored
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import check_rule, completion


def score(file: Path, common: Common, rule: str) -> None:
    """`eval score`: the samples of a file, and beside it the results in its own form."""
    check_rule(rule)
    found = samples.read(file)
    known: dict[str, Task] = {}
    sums = []
    for path in data.files(common.data):
        benchmark = data.read(path)
        known |= {task.task_id: task for task in benchmark.tasks}
        if any(sample.task_id in {task.task_id for task in benchmark.tasks} for sample in found):
            sums.append(benchmark)
    unknown = sorted({sample.task_id for sample in found} - known.keys())
    if unknown:
        raise UserError(
            f"{file}: task {unknown[0]} is in none of the data"
            f"{f' (nor are {len(unknown) - 1} others)' if unknown[1:] else ''}; name its file with "
            "--data"
        )
    if len(sums) > 1:
        raise UserError(
            f"{file}: its tasks are of {' and '.join(each.name for each in sums)}; score a file of "
            "one benchmark"
        )
    [benchmark] = sums
    asked = list(dict.fromkeys(sample.task_id for sample in found))[: common.limit]
    tasks = [known[task] for task in asked]
    kept = [_cut(each, known, rule) for each in found if each.task_id in set(asked)]
    said: dict[str, Any] = {
        "benchmark": benchmark.name,
        "data": Path(benchmark.source).name,
        "data_sha256": benchmark.sha256,
        "model": file.name,
        "samples_sha256": _sha256(file),
        "truncation": rule,
        "limit": common.limit,
        "temperatures": sorted({sample.temperature for sample in kept}),
    }
    with run_folder(common.out) as path, opened(path) as folder:
        with Sandbox(common.workers, common.isolation) as box:
            said["isolation"] = box.level
            folder.begin(said)
            before = folder.known_samples()
            folder.add_samples([each for each in kept if each.key not in before])
            verdicts = evaluate.judged(folder, tasks, kept, box, emitted_too=True)
        scores = scored(said, tasks, kept, verdicts, len(benchmark.tasks))
        folder.finish(scores)
        form = EMITTED if rule == "none" else TRUNCATED
        by_key = {each.key: each for each in verdicts if each.form == form}
        by_key = {**{each.key: each for each in verdicts if each.form == EMITTED}, **by_key}
        target = (common.out or file.parent) / file.name
        _write_results(target, kept, by_key)
        show(scores, common, benchmark.source)


def _write_results(target: Path, kept: list[samples.Sample], verdicts: Mapping[Any, Any]) -> None:
    undecided = sum(each.status == samples.TROUBLE for each in verdicts.values())
    if undecided:
        print(
            f"codegen25: {target.name}: {undecided} of {len(kept)} samples have no verdict "
            f"({samples.TROUBLE}) and are left out of the results written beside it; score again",
            file=sys.stderr,
        )
    rows = samples.human_eval_results(kept, verdicts)
    staging = target.with_name(f".{target.name}_results.jsonl.new")
    staging.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    staging.replace(target.with_name(f"{target.name}_results.jsonl"))
    if all(sample.whole for sample in kept):
        name = f"{target.name.removesuffix('.jsonl')}_eval_results.json"
        date = about()["date"]
        write_json(target.with_name(name), samples.evalplus_results(kept, verdicts, str(date), ""))


def _cut(sample: samples.Sample, known: Mapping[str, Any], rule: str) -> samples.Sample:
    if sample.whole:
        return sample
    kept = completion(sample.raw, rule, known[sample.task_id], stripped=sample.stripped)
    return replace(sample, completion=kept)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()
