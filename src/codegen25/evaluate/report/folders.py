"""A run folder as it lies on the disk: conditions, scores, answers with their verdicts."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

FORMS = {
    "emitted": "as emitted",
    "truncated": "cut at the end of the block",
    "oracle": "cut to the length of the reference",
}


@dataclass(frozen=True)
class Verdict:
    """What the sandbox said of one form of an answer."""

    status: str
    detail: str


@dataclass
class Answer:
    """One sample of one task; `verdicts` by form."""

    task_id: str
    sample: int
    temperature: float
    raw: str = ""
    completion: str = ""
    stop_reason: str = ""
    tokens: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    conditions: Mapping[str, Any]
    scores: Mapping[str, Any]
    answers: tuple[Answer, ...]

    @property
    def model(self) -> str:
        """Who answered."""
        return str(self.scores.get("model") or self.conditions.get("model") or self.folder.name)

    @property
    def benchmark(self) -> str:
        """Which tasks, by one spelling: see `benchmark`."""
        return benchmark(
            str(self.scores.get("benchmark") or self.conditions.get("benchmark") or "unnamed")
        )

    @property
    def form(self) -> str:
        """The form of the answers whose verdicts are counted: infills as the model ended them."""
        forms = {form for answer in self.answers for form in answer.verdicts}
        first = ("emitted", "truncated") if is_infill(self.benchmark) else ("truncated", "emitted")
        return next((form for form in (*first, *sorted(forms)) if form in forms), "")


def benchmark(name: str) -> str:
    """A benchmark's name in one spelling: "HumanEval-SingleLineInfilling" is "single-line"."""
    plain = re.sub("[-_ ]|[.].*", "", name.lower())
    for known, found in (
        ("singleline", "single-line"), ("multiline", "multi-line"), ("randomspan", "random-span"),
    ):  # fmt: skip
        if known in plain:
            return found + ("-light" if found == "random-span" and "light" in plain else "")
    if whole := re.fullmatch("humaneval(plus)?(instruct)?", plain):
        return "-".join(("humaneval", *filter(None, whole.groups())))
    return name


def is_infill(name: str) -> bool:
    """Whether a benchmark's tasks have something after the hole."""
    return name in ("single-line", "multi-line", "random-span", "random-span-light")


def read(folder: Path) -> Run:
    """Read a run folder; of two lines about the same sample the later one counts."""
    if not (folder / "scores.json").is_file():
        raise UserError(f"{folder}: no run folder (it holds no scores.json); give an --out of eval")
    answers: dict[tuple[str, int, float], Answer] = {}
    for row in lines(folder / "samples.jsonl"):
        answer = Answer(
            *_key(row),
            raw=str(row.get("raw", row.get("completion", ""))),
            completion=str(row.get("completion", row.get("raw", ""))),
            stop_reason=str(row.get("stop_reason", "")),
            tokens=int(row.get("tokens") or 0),
        )
        answers[_key(row)] = answer
    for row in lines(folder / "verdicts.jsonl"):
        answer = answers.setdefault(_key(row), Answer(*_key(row)))
        form = str(row.get("form", "emitted"))
        answer.verdicts[form] = Verdict(str(row.get("status", "")), str(row.get("detail") or ""))
    conditions = _object(folder / "run.json") if (folder / "run.json").is_file() else {}
    return Run(folder, conditions, _object(folder / "scores.json"), tuple(answers.values()))


def tasks(path: Path) -> dict[str, Mapping[str, Any]]:
    """The tasks of a data file, or of every .jsonl and .jsonl.gz of a folder, by task id."""
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    found: dict[str, Mapping[str, Any]] = {
        name: row for file in files for row in lines(file) if (name := _task_id(row)) is not None
    }
    if not found:
        raise UserError(f"{path}: no tasks in it (lines of JSON with a task_id)")
    return found


def _task_id(row: Mapping[str, Any]) -> str | None:
    """What a task's samples call it: MultiPL-E says `name`, MBPP gives a bare number."""
    name = row.get("task_id", row.get("name"))
    if name is None:
        return None
    return f"Mbpp/{name}" if str(name).isdigit() else str(name)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl[.gz] file; none without the file. A last line cut off is left out."""
    opened = gzip.open if path.suffix == ".gz" else open
    damage = ""
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if damage:
                    raise UserError(damage)
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    damage = f"{path}: line {number} is not JSON ({error})"
                    continue
                if not isinstance(row, dict):
                    raise UserError(f"{path}: line {number} is no JSON object")
                yield row
    except FileNotFoundError:
        return
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def _key(row: Mapping[str, Any]) -> tuple[str, int, float]:
    try:
        return str(row["task_id"]), int(row.get("sample") or 0), float(row.get("temperature") or 0)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"a sample without task_id, or with a damaged number: {row!r:.100}"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(made, dict):
        raise UserError(f"{path}: no JSON object")
    return made
