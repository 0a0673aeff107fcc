"""Jupyter notebooks as records: text, code and output in turn, or as a script.

Structured (bigcode-dataset, preprocessing/jupyter-structured): `<jupyter_start>`, then
`<jupyter_text>` Markdown, `<jupyter_code>` code, `<jupyter_output>` its output, stripped and
nothing between; `<empty_output>` where there is none, `[...]` where it is cut after 1,000
characters. Cells of a kind that follow each other are one piece. Unlike BigCode we keep Markdown as
it is, code before the first Markdown, and every output: code ends where something was printed.

As a script, see `scripts`, a notebook is a source file like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from codegen25.data.documents import Document
from codegen25.data.records.layout import (
    EMPTY_OUTPUT,
    JUPYTER_CODE,
    JUPYTER_OUTPUT,
    JUPYTER_START,
    JUPYTER_TEXT,
    Piece,
    lay_out,
    well_formed,
)
from codegen25.data.records.scripts import as_script, kernel_language

LANGUAGE = "notebooks"
MAX_OUTPUT = 1000
CUT = "[...]"

Cell = tuple[str, str, str]
"""Kind (`markdown` or `code`), source and output, stripped; a cell without source is left out."""


def notebook(
    text: str,
    *,
    repo: str,
    path: str,
    license: str = "",  # noqa: A002
    stars: int | None = None,
    script: bool = False,
) -> Document | str:
    """The record of an `.ipynb` file, or the reason why it is none.

    With `script`, the document is a source file in the notebook's language, which must be Python,
    and has no marks.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        return "no notebook"
    if data["nbformat"] < 4:
        return "notebook format below 4"
    try:
        cells = list(_cells(data["cells"]))
    except (KeyError, TypeError, AttributeError):
        return "malformed notebook"
    if all(kind != "code" for kind, _, _ in cells):
        return "no code cells"
    if not script:
        body, marks = lay_out(_pieces(cells))
        return Document(body, path, repo, license, LANGUAGE, stars, marks)
    if kernel_language(data.get("metadata")) != "python":
        return "script is not Python"
    return Document(
        well_formed(as_script((kind, source) for kind, source, _ in cells)),
        path,
        repo,
        license,
        "python",
        stars,
    )


def _cells(cells: list[dict[str, Any]]) -> Iterator[Cell]:
    for cell in cells:
        kind, source = cell["cell_type"], _joined(cell["source"])
        if kind == "markdown":
            source = _EMBEDDED.sub("", source)
        if source.strip() and kind in ("code", "markdown"):
            outputs = cell.get("outputs") or [] if kind == "code" else []
            yield kind, source.strip(), _output(outputs)


_EMBEDDED = re.compile(r"!\[[^\]\n]*\]\((?:data|attachment):[^)\s]*\)")
"""Pictures inside the notebook."""


def _joined(text: str | list[str]) -> str:
    """nbformat allows a list of lines wherever there is text of several lines."""
    joined = text if isinstance(text, str) else "".join(text)
    return joined.replace("\r\n", "\n")


# --------------------------------------------------------------------------------- structured


def _pieces(cells: list[Cell]) -> Iterator[Piece]:
    """StarCoder's pieces, cells of a kind joined."""
    yield JUPYTER_START, ""
    kind, sources = "", list[str]()
    for following, source, output in cells:
        if sources and following != kind:
            yield from _piece(kind, sources, "")
            sources = []
        kind = following
        sources.append(source)
        if output:
            yield from _piece(kind, sources, output)
            sources = []
    if sources:
        yield from _piece(kind, sources, "")


def _piece(kind: str, sources: list[str], output: str) -> Iterator[Piece]:
    if kind == "markdown":
        yield JUPYTER_TEXT, "\n\n".join(sources)
        return
    yield JUPYTER_CODE, "\n".join(sources)
    yield JUPYTER_OUTPUT, output
    if not output:
        yield EMPTY_OUTPUT, ""


_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_REDRAWN = re.compile(r"^[^\n]*\r(?!$)", re.MULTILINE)


def _output(outputs: list[dict[str, Any]]) -> str:
    """The text of a cell's outputs, cut at `MAX_OUTPUT` characters."""
    texts = [_ESCAPE.sub("", _output_text(output)) for output in outputs]
    text = "\n".join(_REDRAWN.sub("", each).strip() for each in texts if each.strip())
    return text if len(text) <= MAX_OUTPUT else text[:MAX_OUTPUT] + CUT


def _output_text(output: dict[str, Any]) -> str:
    """Standard output, a value's text, or an error's last line; a picture has none, and standard
    error is mostly warnings about the machine."""
    kind = output["output_type"]
    if kind == "stream":
        return _joined(output["text"]) if output.get("name") != "stderr" else ""
    if kind == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    data = output.get("data") or {}
    is_picture = any(name.startswith("image/") for name in data)
    return "" if is_picture else _joined(data.get("text/plain", ""))
