"""Tables for people and JSON for scripts, with the conditions of the run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from codegen25 import __version__

Row = Mapping[str, Any]


def conditions(packages: Iterable[str]) -> dict[str, Any]:
    """What a figure depends on beside the code: machine and versions."""
    return {
        "codegen25": __version__,
        "python": platform.python_version(),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "platform": sys.platform,
        "versions": {name: _version(name) for name in packages},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def markdown(rows: Sequence[Row]) -> str:
    """Rows with the same keys as a Markdown table; numbers are rounded to three figures."""
    if not rows:
        return ""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in head) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
