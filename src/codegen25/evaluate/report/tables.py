"""The tables as data: what is measured beside what is published. How they look is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codegen25.evaluate import published
from codegen25.evaluate.report.folders import Run

TITLES = {
    "humaneval": "HumanEval",
    "humaneval-instruct": "HumanEval by instruction",
    "humaneval-plus": "HumanEval+",
    "humaneval-plus-instruct": "HumanEval+ by instruction",
    "single-line": "Single-line infilling",
    "multi-line": "Multi-line infilling",
    "random-span": "Random-span infilling",
    "random-span-light": "Random-span infilling, light",
    published.LINES: "Single lines of another set",
    "typing": "Files typed once more",
}
NUMBERS = {"humaneval": 1, "single-line": 2, "humaneval-instruct": 3}
"""Those that hold what was announced of CodeGen2.5 come first; the others have no number."""
NOTES = {
    "humaneval": "Functions from their docstrings; 164 problems.",
    "single-line": "A line of HumanEval's solutions is to be written back; 1,033 tasks.",
    "humaneval-instruct": "The same problems, asked for as an instruction.",
    "humaneval-plus": "HumanEval's problems with evalplus's inputs added: many more tests, so its "
    "figures are lower and stand beside none of HumanEval's.",
    published.LINES: "Line exact match on SantaCoder's Python set: other tasks, for orientation. "
    "Two harnesses gave the same model 57.4 and 72.8.",
    "typing": "A file is typed again with a completer beside it: keys saved, suggestions shown, "
    "accepted, wrong.",
}
HEADS = {
    "exact_match": "exact match", "edit_similarity": "edit similarity", "stop_rate": "stop rate",
    "suffix_gain": "suffix gain, bits", "right_then_more": "right then more",
    "suffix_echo": "suffix echo", "stop_gap": "stop gap", "bits_per_byte": "bits per byte",
    "saved": "keys saved", "completed": "written by completion", "wrong": "wrong shows",
    "p50_ms": "p50 ms", "p95_ms": "p95 ms",
}  # fmt: skip
PLAIN = frozenset({"bits_per_byte", "suffix_gain", "p50_ms", "p95_ms"})
COUNTS = frozenset({"characters", "keys", "requests", "shown", "accepted", "wrong"})
ORDER = (
    "pass@1", "pass@10", "pass@100", "exact_match", "edit_similarity", "stop_rate", "overrun",
    "suffix_echo", "stop_gap", "bits_per_byte",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """`kind` is "measured", "published", "floor" or "" where there is nothing to tell apart."""

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A caption, heads of columns, rows; the first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


def results(benchmark: str, runs: Sequence[Run]) -> Table:
    """The measured rows of a benchmark, then the published ones."""
    theirs = published.rows(benchmark)
    names = _metrics(runs, theirs)
    shares = [name for name in names if name not in PLAIN | COUNTS]
    heads = [f"{HEADS.get(name, name)}{', %' if name in shares else ''}" for name in names]
    measured = [
        Row(
            (
                run.model,
                _size(run),
                *(_metric(name, run.scores.get("metrics", {}).get(name)) for name in names),
                "measured here",
                conditions(run),
            ),
            "measured",
        )
        for run in runs
    ]
    others = [
        Row(
            (
                row.model,
                row.parameters,
                *(_published(row.values.get(name)) for name in names),
                _origin(row),
                row.protocol,
            ),
            "floor" if row.mark == "floor" else "published",
        )
        for row in theirs
    ]
    return Table(
        caption(benchmark),
        ("model", "parameters", *heads, "source", "conditions"),
        (*measured, *others),
        " ".join([NOTES.get(benchmark, ""), *_notes(runs)]).strip(),
    )


def _notes(runs: Sequence[Run]) -> list[str]:
    """What the runs' scores say of themselves; of several runs with the model's name. That a metric
    "needs" more is not said where another run of the model has it."""
    measured = {(run.model, name) for run in runs for name in run.scores.get("metrics", {})}
    return [
        f"{run.model}: {note}." if len(runs) > 1 else f"{note[:1].upper()}{note[1:]}."
        for run in runs
        for note in run.scores.get("notes") or ()
        if isinstance(note, str) and (run.model, note.partition(" needs ")[0]) not in measured
    ]


def caption(benchmark: str) -> str:
    """A table's title, with its number if it is one of the announcement's."""
    title = TITLES.get(benchmark, benchmark)
    return f"Table {NUMBERS[benchmark]}: {title}" if benchmark in NUMBERS else title


def conditions(run: Run) -> str:
    """What a number of a run hangs on, in a few words."""
    given = run.conditions
    said = [f"{run.scores['tasks']} tasks"] if "tasks" in run.scores else []
    for name, shown in (
        ("n", "n = {}"), ("temperatures", "T {}"), ("max_tokens", "at most {} tokens"),
        ("layout", "{} layout"), ("truncation", "cut: {}"), ("weights", "{} weights"),
        ("sure", "sure {}"), ("isolation", "isolation: {}"),
        ("trigger", "asked at {}"), ("accept", "accepted by {}"),
        ("context", "after the cursor: {}"), ("date", "{}"),
    ):  # fmt: skip
        value = given.get(name)
        if isinstance(value, list | tuple):
            value = "/".join(
                f"{each:g}" if isinstance(each, float) else str(each) for each in value
            )
        if value not in (None, "", {}):
            said.append(shown.format(value))
    return ", ".join(said)


def _metrics(runs: Sequence[Run], theirs: Sequence[published.Published]) -> list[str]:
    names: dict[str, None] = {}
    for run in runs:
        names |= dict.fromkeys(run.scores.get("metrics", {}))
    for row in theirs:
        names |= dict.fromkeys(row.values)
    known = [name for name in ORDER if name in names]
    return known + [name for name in names if name not in ORDER]


def _metric(name: str, found: Any) -> str:
    if isinstance(found, int | float):
        found = {"value": found}
    if not isinstance(found, Mapping) or not isinstance(found.get("value"), int | float):
        return ""
    digits, scale = (0, 1) if name in COUNTS else (3, 1) if name in PLAIN else (2, 100)
    digits = 1 if name.endswith("_ms") else digits
    shown = f"{scale * found['value']:.{digits}f}"
    if found.get("low") is not None and found.get("high") is not None:
        shown += f" [{scale * found['low']:.{digits}f}, {scale * found['high']:.{digits}f}]"
    if found.get("temperature") is not None:
        shown += f" at T {found['temperature']:g}"
    return shown


def _published(value: float | None) -> str:
    """A value with the decimals that it was published with, one at least."""
    if value is None:
        return ""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def _origin(row: published.Published) -> str:
    if row.mark == "floor":
        return "floor, no model"
    words = "published" if row.mark == "announcement" else f"published, {row.mark}"
    where = "announcement of CodeGen2.5" if row.mark == "announcement" else row.source
    return f"{words}: {where}" if where else words


def _size(run: Run) -> str:
    count = run.conditions.get("parameters")
    if not isinstance(count, int):
        return ""
    for size, unit in ((10**9, "B"), (10**6, "M")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
