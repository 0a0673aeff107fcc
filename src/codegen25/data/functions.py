"""Functions cut out of modules, each with the imports it uses: short documents that are whole.

A small model reads short windows. A window of a large file shows it mostly names whose definitions
it cannot see; a function of its own shows all there is to know about the missing line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from codegen25.data.documents import Document
from codegen25.data.syntax import lines_of, parse

CHARACTERS = (120, 900)
"""Shortest and longest function taken: below, there is nothing to infill; above, it would not fit
a window of 256 tokens."""


def module_functions(document: Document) -> Iterator[Document]:
    """The functions at the top level of a module that parses, with the imports they use.

    Their path is `FILE::NAME`. Decorators come along; methods stay where they are. Stubs (.pyi)
    have no bodies to learn from.
    """
    if document.path.endswith(".pyi"):
        return
    module = parse(document.text)
    if module is None:
        return
    lines = lines_of(document.text)
    imports = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        source = _source(node, lines, _first_line(node))
        if not CHARACTERS[0] <= len(source) <= CHARACTERS[1]:
            continue
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        head = "".join(_source(each, lines, each.lineno) for each in imports if used & _names(each))
        text = f"{head}\n\n{source}" if head else source
        yield replace(document, text=text, path=f"{document.path}::{node.name}")


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _source(node: ast.stmt, lines: list[str], first: int) -> str:
    assert node.end_lineno is not None
    text = "".join(lines[first - 1 : node.end_lineno])
    return text if text.endswith("\n") else text + "\n"


def _names(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The names an import binds."""
    return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
