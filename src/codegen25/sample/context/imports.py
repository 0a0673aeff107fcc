"""The imports of a Python file, also of one that is being typed and does not parse."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

PARSED = 60_000
"""Characters up to which text is parsed; beyond, a keystroke would notice."""


@dataclass(frozen=True)
class Import:
    """One imported name.

    level   leading dots of a relative import.
    module  the dotted name that is imported, or imported from.
    name    what is taken from the module; "" for the module itself, "*" for all.
    bound   how the code refers to it: `b` after `from a import b`, `a.b` after `import a.b`.
    """

    level: int
    module: tuple[str, ...]
    name: str
    bound: str


_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*)[ \t]*([\w.]*)[ \t]+import\b[ \t]*"
    r"(\((?:(?!\n[ \t]*(?:from|import)\b)[\w\s,])*\)?|[^\n;]*)",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w. \t,]+)", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_ALIAS = re.compile(r"\s*([\w.]+|\*)(?:\s+as\s+(\w+))?\s*")


def imports(text: str) -> tuple[Import, ...]:
    """All imports of a file, in order: those of its tree, or where it has none, of its lines."""
    tree = tree_of(text)
    return tuple(_of_tree(tree) if tree else _of_lines(text))


def without_imports(text: str) -> str:
    """The text with its import statements blanked, line by line."""
    for pattern in (_FROM, _IMPORT):
        text = pattern.sub(lambda match: "\n" * match[0].count("\n"), text)
    return text


def tree_of(text: str) -> ast.Module | None:
    """The tree of a source text; None if it is longer than `PARSED` or does not parse."""
    if len(text) > PARSED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_tree(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _whole(alias.name, alias.asname)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield Import(node.level, module, alias.name, alias.asname or alias.name)


def _of_lines(text: str) -> Iterator[Import]:
    text = _COMMENT.sub("", text).replace("\\\n", " ")
    for match in _FROM.finditer(text):
        module = tuple(part for part in match[2].split(".") if part)
        for name, bound in _aliases(match[3].strip("() \t\n")):
            if "." not in name and (module or match[1]):
                yield Import(len(match[1]), module, name, bound or name)
    for match in _IMPORT.finditer(text):
        for name, bound in _aliases(match[1]):
            if name.strip("."):
                yield _whole(name.strip("."), bound)


def _whole(name: str, bound: str | None) -> Import:
    return Import(0, tuple(part for part in name.split(".") if part), "", bound or name)


def _aliases(names: str) -> Iterator[tuple[str, str | None]]:
    for part in names.split(","):
        if match := _ALIAS.fullmatch(part):
            yield match[1], match[2]
