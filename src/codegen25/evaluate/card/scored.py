"""What a model scored, as a part of its card: the report's own tables, without published rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen25.evaluate.report import plain, tables
from codegen25.evaluate.report.folders import Run


def text(runs: Sequence[Run]) -> str:
    """A table a benchmark; floors stay, as a small model's figures mean little without them."""
    parts = ["## Scores\n\nIn brackets 95 % intervals, which redraw problems, or files."]
    for name in dict.fromkeys(run.benchmark for run in runs):
        made = tables.results(name, [run for run in runs if run.benchmark == name])
        rows = tuple(row for row in made.rows if row.kind in ("measured", "floor"))
        made = _without_empty(replace(made, rows=rows))
        title = tables.TITLES.get(name, name)
        parts.append(f"### {title}\n\n{made.note}\n\n{plain.table(made)}".strip())
    return "\n\n".join(parts)


def _without_empty(made: tables.Table) -> tables.Table:
    """A table without columns that say nothing, or the same as the card does."""
    kept = [
        i
        for i, head in enumerate(made.columns)
        if head not in ("source", "parameters") and any(row.cells[i] for row in made.rows)
    ]
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in made.rows)
    return replace(made, columns=tuple(made.columns[i] for i in kept), rows=rows)
