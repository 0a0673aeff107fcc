"""`codegen25 eval report`: run folders to `report.html` and `report.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate import published
from codegen25.evaluate.report import curve, endings, page, plain, tables
from codegen25.evaluate.report.figure import Figure, figure
from codegen25.evaluate.report.folders import Run, read, tasks
from codegen25.evaluate.report.problems import Problem, problems
from codegen25.evaluate.report.text import escape, markdown

TITLE = "Evaluation by codegen25"
NOTE = (
    "Tables 1 to 3 hold what was announced of CodeGen2.5, as references beside what was measured. "
    "Measured rows stand first, with 95 % intervals where there are any. Published rows are "
    "references: other harnesses, truncations and temperatures made them, which moves small "
    "models by more than they differ. “Unverified” ones were quoted from memory."
)


def run(
    folders: Sequence[Path],
    out: Path,
    data: Path | Sequence[Path] | None = None,
    training: Path | Sequence[Path] | None = None,
) -> list[Path]:
    """Write `report.html` and `report.md` into the folder `out`; their paths come back.

    `data` are files of tasks, or folders of them, for prompts and suffixes; `training` are training
    runs for Figure 1.
    """
    if not folders and not _several(training):
        raise UserError("nothing to report: name run folders, the --out of eval, or training runs")
    runs = [read(folder) for folder in folders]
    known: dict[str, Mapping[str, Any]] = {}
    for path in _several(data):
        known |= tasks(path)
    drawn = figure(_several(training)) if _several(training) else None
    made = [problems(one, known) for one in runs]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (
        ("report.html", _page(runs, made, drawn)),
        ("report.md", _markdown(runs, made, drawn)),
    ):
        staging = out / f".{name}.new"
        staging.write_text(text, encoding="utf-8")
        staging.replace(out / name)
        written.append(out / name)
    return written


def _page(runs: Sequence[Run], asked: Sequence[Sequence[Problem]], drawn: Figure | None) -> str:
    sections = []
    for number, made in enumerate(_results(runs)):
        note = f'<p class="note">{escape(made.note)}</p>' if made.note else ""
        sections.append((f"t{number}", made.caption, note + page.table(made)))
    if drawn:
        sections.append(("figure", "Figure 1: training", page.figure(drawn)))
    for number, one in enumerate(runs):
        if points := curve.points(one):
            head = f"{curve.TITLE}: {one.model}"
            content = page.table(curve.table(one.model, points)) + curve.figure(number, points)
            sections.append((f"curve{number}", head, content))
    if ended := endings.statuses(runs):
        sections.append(("ended", ended.caption, page.table(ended)))
    if runs:
        said = "".join(page.conditions(one) for one in runs)
        sections.append(("conditions", "Conditions", said))
    for number, (one, each) in enumerate(zip(runs, asked, strict=True)):
        if each:
            name = f"r{number}"
            head = f"Tasks: {_name(one)}"
            sections.append((name, head, page.problems(each, one, name)))
    return page.page(TITLE, NOTE, sections)


def _markdown(runs: Sequence[Run], asked: Sequence[Sequence[Problem]], drawn: Figure | None) -> str:
    parts = [f"# {TITLE}\n", f"{NOTE}\n", *_tables(runs)]
    if drawn:
        parts.append(f"## Figure 1: training\n\n{plain.figure(drawn)}")
    for one in runs:
        if points := curve.points(one):
            made = curve.table(one.model, points)
            parts.append(f"## {markdown(made.caption)}\n\n{plain.table(made)}")
    if ended := endings.statuses(runs):
        parts.append(f"## {ended.caption}\n\n{plain.table(ended)}")
    if runs:
        parts.append("## Conditions\n\n" + "\n".join(plain.conditions(one) for one in runs))
    parts += [
        f"## Tasks: {markdown(_name(one))}\n\n{plain.problems(each)}"
        for one, each in zip(runs, asked, strict=True)
        if each
    ]
    return "\n".join(parts)


def tables_of(folders: Sequence[Path]) -> str:
    """The tables of run folders alone, as Markdown."""
    return "\n".join([f"{NOTE}\n", *_tables([read(folder) for folder in folders])])


def _tables(runs: Sequence[Run]) -> list[str]:
    return [f"## {made.caption}\n\n{made.note}\n\n{plain.table(made)}" for made in _results(runs)]


def _results(runs: Sequence[Run]) -> list[tables.Table]:
    """The tables: the announcement's three in any case, then what else the runs measured."""
    measured = [run.benchmark for run in runs]
    names = list(tables.NUMBERS)
    names += [name for name in tables.TITLES if name in measured and name not in names]
    names += sorted({name for name in measured if name not in tables.TITLES})
    if "single-line" in measured:
        names.insert(len(tables.NUMBERS), published.LINES)
    return [tables.results(name, [run for run in runs if run.benchmark == name]) for name in names]


def _name(one: Run) -> str:
    return f"{one.model}, {tables.TITLES.get(one.benchmark, one.benchmark)}"


def _several(given: Path | Sequence[Path] | None) -> list[Path]:
    if given is None:
        return []
    return [given] if isinstance(given, Path) else list(given)
