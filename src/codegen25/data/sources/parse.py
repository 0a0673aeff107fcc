"""Sources by name: a word of the command line, or a table of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen25 import settings
from codegen25.data.sources import archives
from codegen25.data.sources.archives import Archive
from codegen25.data.sources.exercises import Exercises
from codegen25.data.sources.folder import Folder
from codegen25.data.sources.hub import HuggingFace
from codegen25.data.sources.packages import Debian, Npm, Pip
from codegen25.data.sources.python import Installed, StandardLibrary
from codegen25.data.sources.structured import Commits, Issues
from codegen25.data.sources.table import Table, is_table, matching
from codegen25.data.sources.task import Source
from codegen25.errors import UserError

KINDS: Mapping[str, type[Any]] = {
    "folder": Folder,
    "archive": Archive,
    "table": Table,
    "stdlib": StandardLibrary,
    "installed": Installed,
    "pip": Pip,
    "npm": Npm,
    "debian": Debian,
    "huggingface": HuggingFace,
    "commits": Commits,
    "issues": Issues,
    "exercises": Exercises,
}
"""The kinds of sources by the name that a recipe's table gives as `kind`."""

FORMS = (
    "a folder, an archive (.zip, .whl, .tar.gz, .deb …), a table (.jsonl, .jsonl.gz, .jsonl.zst, "
    ".parquet), stdlib, installed[:SITE], pip:NAME[==VERSION], npm:NAME[@VERSION], "
    "debian:NAME[=VERSION], hf:OWNER/NAME"
)


def parse(text: str) -> Source:
    """The source that a word of the command line names; see `table_of`."""
    return from_table(table_of(text))


def table_of(text: str) -> dict[str, Any]:
    """The table that a recipe would hold for a word; a UserError lists the forms.

    A folder called `stdlib` or `installed` is given as `./stdlib`.
    """
    kind, colon, name = text.partition(":")
    if text in ("stdlib", "installed"):
        return {"kind": text}
    if colon and name and kind == "installed":
        return {"kind": kind, "path": name}
    if colon and name and kind in ("pip", "npm", "debian"):
        return {"kind": kind, "names": [name]}
    if colon and name and kind == "hf":
        return {"kind": "huggingface", "name": name}
    path = Path(text).expanduser()
    if text and path.is_dir():
        return {"kind": "folder", "path": text}
    if is_table(text) and (path.is_file() or matching(path)):
        return {"kind": "table", "path": text}
    if text.lower().endswith(archives.ENDINGS) and path.is_file():
        return {"kind": "archive", "path": text}
    missing = "is no source" if path.exists() else "is no such file or folder"
    raise UserError(f"{text or repr(text)} {missing}; a source is {FORMS}")


def from_table(table: Mapping[str, Any]) -> Source:
    """The source of a TOML table: its `kind`, and the fields of that kind.

    An unknown kind or key, or a value of the wrong type, is a UserError that names it.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"sources: kind is {kind!r}; it is one of {', '.join(KINDS)}")
    fields = {key: value for key, value in table.items() if key != "kind"}
    source: Source = settings.overridden(KINDS[kind], fields, {}, f"source of kind {kind}")
    return source
