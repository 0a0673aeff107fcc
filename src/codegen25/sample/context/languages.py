"""Which files are source code, which speak the same language, and how a comment begins there."""

from __future__ import annotations

from pathlib import PurePosixPath

_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("#", (".py", ".pyi", ".pyw")),
    ("//", (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte")),
    ("//", (".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".cu", ".cuh", ".m", ".mm")),
    ("//", (".java", ".kt", ".kts", ".scala", ".groovy")),
    ("//", (".go",)),
    ("//", (".rs",)),
    ("//", (".cs",)),
    ("//", (".swift",)),
    ("//", (".dart",)),
    ("//", (".php",)),
    ("//", (".zig",)),
    ("#", (".rb", ".rake")),
    ("#", (".sh", ".bash", ".zsh")),
    ("#", (".pl", ".pm")),
    ("#", (".r",)),
    ("#", (".jl",)),
    ("#", (".ex", ".exs")),
    ("--", (".lua",)),
    ("--", (".sql",)),
    ("--", (".hs",)),
)
"""A comment's marker, and endings of languages that are written alike or used together."""
_FAMILY_OF = {ending: k for k, (_, endings) in enumerate(_FAMILIES) for ending in endings}
PYTHON = 0


def family(path: str) -> int | None:
    """The number of a file's family of languages by its ending; None for what is no source.

    >>> family("a/b.py") == PYTHON, family("x.tsx") == family("y.js"), family("notes.txt")
    (True, True, None)
    """
    return _FAMILY_OF.get(PurePosixPath(path).suffix.lower())


def comment(path: str) -> str:
    """What begins a comment to the end of the line in a file; `#` where that is not known."""
    found = family(path)
    return "#" if found is None else _FAMILIES[found][0]
