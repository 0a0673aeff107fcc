"""Values as Python writes them, with double quotes as formatted code has them; and imports."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

FROM = {
    "Counter": "collections", "defaultdict": "collections", "deque": "collections",
    "reduce": "functools", "lru_cache": "functools", "accumulate": "itertools",
    "zip_longest": "itertools", "combinations": "itertools", "groupby": "itertools",
    "chain": "itertools", "takewhile": "itertools", "dropwhile": "itertools",
    "product": "itertools", "List": "typing", "Dict": "typing", "Tuple": "typing",
    "Optional": "typing", "permutations": "itertools",
}  # fmt: skip
_NAMES = re.compile(r"(?<![\w.\"'])(" + "|".join(FROM) + r")(?=[(\[]|\.from)")
_MODULES = re.compile(r"(?<![\w.\"'])(math|re)\.(?=[a-z])")


def literal(value: Any, quote: str = '"') -> str:
    """The value as a literal, strings between `quote`s."""
    if isinstance(value, str) and quote == '"':
        inner = repr(value)[1:-1]
        return f'"{inner}"' if '"' not in value and "\\" not in inner else repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(literal(each, quote) for each in value) + "]"
    if isinstance(value, tuple):
        inner = ", ".join(literal(each, quote) for each in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        items = (f"{literal(k, quote)}: {literal(v, quote)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    return repr(value)


def annotation(spelled: str, style: str) -> str:
    """A type in a style: `builtin` (list[int], int | None) or `typing` (List[int], Optional)."""
    inner = spelled.removesuffix("?")
    if style == "typing":
        inner = re.sub(r"\b(list|dict|tuple)\b", lambda match: match[1].title(), inner)
        return f"Optional[{inner}]" if spelled.endswith("?") else inner
    return f"{inner} | None" if spelled.endswith("?") else inner


def imports(codes: Iterable[str]) -> list[str]:
    """The import lines that code needs, in isort's order."""
    text = "\n".join(codes)
    modules = sorted({f"import {name}" for name in _MODULES.findall(text)})
    names: dict[str, set[str]] = defaultdict(set)
    for name in _NAMES.findall(text):
        names[FROM[name]].add(name)
    return modules + [
        f"from {module} import {', '.join(sorted(found))}"
        for module, found in sorted(names.items())
    ]
