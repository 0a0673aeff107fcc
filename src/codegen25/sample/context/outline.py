"""What a Python module defines, each thing as short as it can be said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from codegen25.sample.context.imports import tree_of

WHOLE = 400
"""Characters up to which a function or class is shown whole."""
METHODS = 16
"""Methods of a class that are shown at most."""


@dataclass(frozen=True)
class Definition:
    """A name at the top level of a module: its first line, from 1, and its text in brief.

    Brief is the signature and the docstring's first line; of a class also its fields and the
    signatures of its methods; short ones are whole.
    """

    name: str
    line: int
    text: str


@lru_cache(maxsize=256)
def outline(text: str) -> Mapping[str, Definition]:
    """The functions, classes and one-line constants of a module by name, in order."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tree = tree_of(text)
    found = _of_tree(tree, text.split("\n")) if tree else _of_lines(text)
    return {each.name: each for each in found}


def _of_tree(tree: ast.Module, lines: list[str]) -> Iterator[Definition]:
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(node.name, _first_line(node), _function(node, lines))
        elif isinstance(node, ast.ClassDef):
            yield Definition(node.name, _first_line(node), _class(node, lines))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield Definition(target.id, node.lineno, _constant(node, lines))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under `if` and `try` among them."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)
        else:
            yield node


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    whole = _lines(lines, _first_line(node), node.end_lineno or node.lineno)
    return whole if len(whole) <= WHOLE else _header(node, lines) + _said(node)


def _class(node: ast.ClassDef, lines: list[str]) -> str:
    whole = _lines(lines, _first_line(node), node.end_lineno or node.lineno)
    if len(whole) <= WHOLE:
        return whole
    parts = [_header(node, lines) + _said(node, body="")]
    methods: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign):
            parts.append(_constant(each, lines))
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            methods.append(each)
    shown = [each for each in methods if not each.name.startswith("_") or each.name == "__init__"]
    return "\n".join([*parts, *(f"{_header(each, lines)} ..." for each in shown[:METHODS])])


def _header(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """Decorators and signature through the colon."""
    first = node.body[0]
    if first.lineno > node.lineno:
        end = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", ()))])
        header = lines[_first_line(node) - 1 : end - 1]
    else:
        raw = lines[first.lineno - 1].encode()[: first.col_offset].decode(errors="replace")
        header = [*lines[_first_line(node) - 1 : first.lineno - 1], raw]
    while len(header) > 1 and (not header[-1].strip() or header[-1].lstrip().startswith("#")):
        header.pop()
    last = header[-1].rstrip()
    if not last.endswith(":"):  # a comment follows
        last = _COMMENTED.sub(":", last)
    return "\n".join([*header[:-1], last])


_COMMENTED = re.compile(r":[ \t]*#[^\n]*$")


def _said(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, body: str = " ...") -> str:
    """The docstring's first line as a body, or `body` without one."""
    said = (ast.get_docstring(node) or "").strip().split("\n")[0]
    if not said:
        return body
    return f'\n{" " * (node.col_offset + 4)}"""{said}"""'


def _constant(node: ast.stmt, lines: list[str]) -> str:
    text = _lines(lines, node.lineno, node.end_lineno or node.lineno)
    return text if len(text) <= WHOLE // 2 else text.split("\n")[0][: WHOLE // 2]


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _lines(lines: list[str], first: int, last: int) -> str:
    return "\n".join(lines[first - 1 : last])


_HEAD = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
_COLON = re.compile(r":[ \t]*(?:#[^\n]*)?$", re.MULTILINE)


def _of_lines(text: str) -> Iterator[Definition]:
    """Signatures of a module that does not parse."""
    for match in _HEAD.finditer(text):
        head = text[match.start() : match.start() + WHOLE]
        end = _COLON.search(head)
        shown = head[: end.start() + 1] if end else head.split("\n")[0]
        yield Definition(match[1], text.count("\n", 0, match.start()) + 1, f"{shown} ...")
