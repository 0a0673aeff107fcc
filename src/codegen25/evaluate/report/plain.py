"""The report in Markdown: the tables, how samples ended, conditions, every task in a line."""

from __future__ import annotations

from collections.abc import Sequence

from codegen25.evaluate.report import figure as figures
from codegen25.evaluate.report.endings import everything
from codegen25.evaluate.report.folders import Run
from codegen25.evaluate.report.problems import Problem
from codegen25.evaluate.report.tables import TITLES, Row, Table
from codegen25.evaluate.report.text import markdown


def table(made: Table) -> str:
    """A Markdown table; measured rows are bold."""
    lines = [_line(made.columns), "|" + "---|" * len(made.columns)]
    for row in made.rows:
        first, *rest = (markdown(cell) for cell in row.cells)
        lines.append(_line((f"**{first}**" if row.kind == "measured" else first, *rest)))
    return "\n".join(lines) + "\n"


def figure(drawn: figures.Figure) -> str:
    """What the figure of the page shows, in words."""
    return f"{markdown(drawn.title)}: {markdown(figures.described(drawn))}.\n"


def conditions(run: Run) -> str:
    """What a run was made with, as a list."""
    head = f"{run.model}, {TITLES.get(run.benchmark, run.benchmark)}"
    rows = "".join(f"- {markdown(k)}: {markdown(v)}\n" for k, v in everything(run))
    return f"### {markdown(head)}\n\n{rows}"


def problems(made: Sequence[Problem]) -> str:
    """Every task with its passes and its most frequent failure; the answers are in the page."""
    rows = tuple(
        Row((problem.task_id, f"{problem.passes} of {problem.samples}", problem.failure))
        for problem in made
    )
    return table(Table("", ("task", "passes", "most frequent failure"), rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
