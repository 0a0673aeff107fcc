"""The scores of a run as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLAIN = ("bits_per_byte", "suffix_gain")
"""Metrics that are no shares."""
LOWER = {"filters": " (no namespaces)", "limits": " (keeps accidents in check, not malice)"}
"""What a level lacks that is not the strongest."""


def table(scores: Mapping[str, Any]) -> str:
    """The scores as Markdown: a column a temperature, 95 % intervals in brackets."""
    temperatures = scores["by_temperature"]
    whole, done = scores["tasks_in_benchmark"], scores["tasks"]
    level = scores["isolation"]
    tasks = f"{done} tasks" if done == whole else f"{done} of {whole} tasks"
    lines = [
        f"{scores['model']} on {scores['benchmark']}: {tasks}, {scores['samples']} samples "
        f"({scores['form']}), isolation: {level}{LOWER.get(level, '')}",
        "",
        f"| metric | {' | '.join(f'T {each}' for each in temperatures)} |",
        f"|---|{'---|' * len(temperatures)}",
    ]
    names = dict.fromkeys(name for each in temperatures.values() for name in each["metrics"])
    for name in names:
        cells = [_cell(name, each["metrics"].get(name)) for each in temperatures.values()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    for name in PLAIN:
        if name in scores["metrics"]:
            cells = [_cell(name, scores["metrics"][name])] + [""] * (len(temperatures) - 1)
            lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", *scores["notes"]] if scores["notes"] else []
    return "\n".join(lines) + "\n"


def _cell(name: str, rate: Mapping[str, float] | None) -> str:
    if rate is None:
        return ""
    digits, scale, unit = (3, 1.0, "") if name in PLAIN else (2, 100.0, " %")
    value, low, high = (f"{scale * rate[each]:.{digits}f}" for each in ("value", "low", "high"))
    return f"{value}{unit} [{low}, {high}]"
