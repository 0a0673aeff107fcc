"""Notebooks as Python scripts in the percent format, which jupytext and editors read.

`# %%` stands before each code cell and `# %% [markdown]` before Markdown, which becomes comments.
IPython's magics and shell lines become comments too, for they are no Python.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from typing import Any


def kernel_language(metadata: Any) -> str:
    """What the kernel runs; Python where nothing says."""
    metadata = metadata if isinstance(metadata, dict) else {}
    for part, name in (("kernelspec", "language"), ("language_info", "name")):
        value = metadata.get(part)
        if isinstance(value, dict) and isinstance(value.get(name), str) and value[name]:
            return str(value[name]).lower()
    return "python"


def as_script(cells: Iterable[tuple[str, str]]) -> str:
    """The script of cells given as (`code` or `markdown`, stripped source)."""
    parts = []
    for kind, source in cells:
        if kind == "code":
            parts.append(f"# %%\n{_without_magics(source)}\n")
        else:
            lines = (f"# {line}".rstrip() for line in source.split("\n"))
            parts.append("# %% [markdown]\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


_MAGIC = re.compile(r"\s*(?:[%!]|\?{1,2}[\w.]|[\w., ]+=\s*[%!]|[\w.]+\?{1,2}\s*$)")
_TIMERS = re.compile(r"%%(?:time|timeit|capture|prun)\b")


def _without_magics(source: str) -> str:
    """Code with IPython's magics and shell lines as comments, where it is no Python as it is."""
    if source.startswith("%%"):
        first, _, rest = source.partition("\n")
        if not _TIMERS.match(first):
            return _comment(source)
        return f"{_comment(first)}\n{_without_magics(rest)}" if rest else _comment(first)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = source.split("\n")
        return "\n".join(_comment(x) if _MAGIC.match(x) else x for x in lines)
    return source


def _comment(source: str) -> str:
    return "\n".join(f"# {line}" for line in source.split("\n"))
