"""How a run's samples ended, and everything that a run was made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codegen25.evaluate.report.folders import FORMS, Run
from codegen25.evaluate.report.tables import TITLES, Row, Table
from codegen25.evaluate.sandbox import STATUSES


def statuses(runs: Sequence[Run]) -> Table | None:
    """How the samples ended, a row for a run and a form of its answers."""
    rows = []
    for run in runs:
        for form in FORMS:
            found = [each.verdicts[form].status for each in run.answers if form in each.verdicts]
            counts = Counter(found)
            if found:
                level = str(run.conditions.get("isolation", "not noted"))
                name = f"{run.model}, {TITLES.get(run.benchmark, run.benchmark)}"
                rows.append((name, FORMS[form], level, counts))
    known = [name for name in STATUSES if any(counts[name] for *_, counts in rows)]
    known += sorted({name for *_, counts in rows for name in counts} - set(STATUSES))
    if not rows:
        return None
    return Table(
        "How the samples ended",
        ("run", "answers", "samples", *known, "isolation"),
        tuple(
            Row((name, form, str(counts.total()), *(str(counts[each]) for each in known), level))
            for name, form, level, counts in rows
        ),
    )


def everything(run: Run) -> list[tuple[str, str]]:
    """All conditions of a run, names and values, nested ones with dots."""
    return list(_flat("", dict(run.conditions)))


def _flat(prefix: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in given.items():
        if isinstance(value, Mapping):
            found += _flat(f"{prefix}{name}.", value)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            found.append((f"{prefix}{name}".replace("_", " "), text))
    return found
