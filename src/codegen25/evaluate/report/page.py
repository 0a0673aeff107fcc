"""The page: one file that loads nothing. Every text goes through `escape` on its way in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from codegen25.evaluate.report import figure as figures
from codegen25.evaluate.report.endings import everything
from codegen25.evaluate.report.folders import FORMS, Run
from codegen25.evaluate.report.problems import Example, Problem
from codegen25.evaluate.report.style import CSS, SCRIPT
from codegen25.evaluate.report.tables import TITLES, Table
from codegen25.evaluate.report.text import escape, shortened

LONG = 6_000
"""Characters of a prompt or an answer that are shown."""
ROOM = 8_000_000
"""Characters of answers and prompts on one page; the tasks after that are listed without."""
LONG_CELL = 28
"""Characters of a cell that may be broken into lines."""
STOPS = {"end": "ended by itself", "stop": "ended by itself", "length": "ended at the limit"}


def page(title: str, note: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """The whole page; a section is its id, its heading and its content in HTML."""
    links = "".join(f'<li><a href="#{name}">{escape(head)}</a></li>' for name, head, _ in sections)
    parts = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(head)}</h2>{content}</section>'
        for name, head, content in sections
    )
    policy = (
        f"default-src 'none'; style-src {_hash(CSS)}; script-src {_hash(SCRIPT)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1><p class="note">{escape(note)}</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
        f"</header>\n<main>\n{parts}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def table(made: Table) -> str:
    """A table in a box of its own that scrolls sideways."""
    numeric = [_numeric(made, column) for column in range(len(made.columns))]
    head = "".join(
        f'<th scope="col"{_class(numeric[i], "")}>{escape(name)}</th>'
        for i, name in enumerate(made.columns)
    )
    rows = "".join(
        f'<tr class="{row.kind}">'
        f'<th scope="row">{escape(row.cells[0])}</th>'
        + "".join(
            f"<td{_class(numeric[i], cell)}>{escape(cell)}</td>"
            for i, cell in enumerate(row.cells[1:], 1)
        )
        + "</tr>"
        for row in made.rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(made.caption)}">'
        f"<table><caption>{escape(made.caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def figure(drawn: figures.Figure) -> str:
    """The figure with its key and its description."""
    key = "".join(
        f'<li class="k{number % figures.COLOURS}">{escape(series.name)}</li>'
        for number, series in enumerate(drawn.series)
    )
    return (
        f'<figure><ul class="key">{key}</ul>{figures.svg(drawn)}'
        f'<figcaption class="why">{escape(drawn.title)}. {escape(figures.described(drawn))}.'
        "</figcaption></figure>"
    )


def conditions(run: Run) -> str:
    """What a run was made with, folded."""
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in everything(run))
    head = f"{run.model}, {TITLES.get(run.benchmark, run.benchmark)}"
    return f"<details><summary>{escape(head)}</summary><dl>{rows}</dl></details>"


def problems(made: Sequence[Problem], run: Run, name: str) -> str:
    """A run's tasks: a filter, then each task folded."""
    room = ROOM
    items = []
    for problem in made:
        inside = _inside(problem) if room > 0 else "<p>Left out to keep the page small.</p>"
        room -= len(inside)
        items.append(_item(problem, inside))
    known = sorted({status for problem in made for status, _ in problem.statuses})
    choices = [
        ("", "all tasks"),
        ("all", "every sample passes"),
        ("some", "some samples pass"),
        ("none", "no sample passes"),
        *((each, f"some sample: {each}") for each in known),
    ]
    options = "".join(f'<option value="{escape(v)}">{escape(w)}</option>' for v, w in choices)
    form = FORMS.get(run.form, run.form) or "not decided"
    return (
        f'<p class="note">Passes are counted over the answers {escape(form)}. Open a task to see '
        "where its answers stand.</p>"
        f'<form class="filter" data-list="{name}-list" hidden><label>Task or failure'
        '<input type="search"></label>'
        f"<label>Outcome<select>{options}</select></label><output></output></form>"
        f'<ul class="problems" id="{name}-list">{"".join(items)}</ul>'
    )


def _item(problem: Problem, inside: str) -> str:
    names = " ".join((problem.outcome, *(status for status, _ in problem.statuses)))
    why = f' <span class="why">{escape(problem.failure)}</span>' if problem.failure else ""
    return (
        f'<li data-is="{escape(names)}"><details><summary>{escape(problem.task_id)}'
        f'<span class="count {problem.outcome}">{problem.passes} of {problem.samples}</span>{why}'
        f'</summary><div class="inside">{inside}</div></details></li>'
    )


def _inside(problem: Problem) -> str:
    parts = [_example(problem, example, number == 0) for number, example in
             enumerate(problem.examples)]  # fmt: skip
    if problem.samples > 1:
        ends = ", ".join(f"{count} {status}" for status, count in problem.statuses)
        parts.insert(0, f"<p>{escape(ends)}</p>")
    if problem.reference:
        parts.append(f"<h3>Reference</h3>{_pre(problem.reference)}")
    return "".join(parts)


def _example(problem: Problem, example: Example, placed: bool) -> str:
    answer = example.answer
    facts = [f"Sample {answer.sample}"]
    if answer.temperature:
        facts.append(f"T {answer.temperature:g}")
    if answer.stop_reason:
        facts.append(STOPS.get(answer.stop_reason, f"stopped: {answer.stop_reason}"))
    if answer.tokens:
        facts.append(f"{answer.tokens} tokens")
    if example.times > 1:
        facts.append(f"{example.times} samples alike")
    verdicts = "".join(
        f"<li>{escape(FORMS.get(form, form))}: <b>{escape(found.status)}</b> "
        f"{escape(found.detail)}</li>"
        for form, found in answer.verdicts.items()
    )
    middle = f"<ins>{escape(shortened(example.text, LONG))}</ins>"
    if placed and (problem.prompt or problem.suffix):
        before, after = (
            f'<span class="around">{escape(shortened(text, LONG))}</span>'
            for text in (problem.prompt, problem.suffix)
        )
        middle = before + middle + after
    shown = f'<pre tabindex="0">{middle}</pre>'
    if example.other != example.text:
        name = "As emitted" if example.other == answer.raw else "Cut"
        shown += f"<details><summary>{name}</summary>{_pre(example.other)}</details>"
    return f"<h3>{escape(', '.join(facts))}</h3><ul>{verdicts}</ul>{shown}"


def _pre(text: str) -> str:
    # A parser drops a newline right after the tag.
    return f'<pre tabindex="0">\n{escape(shortened(text, LONG))}</pre>'


def _numeric(made: Table, column: int) -> bool:
    cells = [row.cells[column] for row in made.rows if row.cells[column]]
    return column > 0 and bool(cells) and all(cell[0].isdigit() or cell[0] == "-" for cell in cells)


def _class(numeric: bool, cell: str) -> str:
    if numeric:
        return ' class="number"'
    return ' class="long"' if len(cell) > LONG_CELL else ""


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
