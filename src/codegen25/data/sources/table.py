"""Tables of source files: JSON lines, compressed or not, and Parquet."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path

from codegen25.data.sources import json_lines, parquet
from codegen25.data.sources.reading import MAX_BYTES
from codegen25.data.sources.rows import TEXT, Columns, RowRule
from codegen25.data.sources.task import Task
from codegen25.errors import UserError

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


@dataclass(frozen=True)
class Table:
    """Rows that each hold a file: *.jsonl, *.jsonl.gz, *.jsonl.zst or *.parquet.

    path     of a file; of a folder, for all tables below it; or a pattern with `*`.
    text     name of the column that holds the text; see `RowRule` for the default.
    columns  names of the others, where they are not those of BigCode's datasets.

    `repo`, `license` and `language` stand for rows that name none; `max_bytes` as of `Folder`.
    """

    path: str
    text: str = TEXT
    columns: Columns = field(default_factory=Columns)
    repo: str = ""
    license: str = ""
    language: str = ""
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        rule = RowRule(
            self.text, self.columns, self.repo, self.license, self.language, self.max_bytes
        )
        tasks: list[Task] = []
        for path in self._files():
            cut = parquet.tasks if path.suffix.lower() == ".parquet" else json_lines.tasks
            tasks += cut(path, rule)
        return tasks

    def _files(self) -> list[Path]:
        path = Path(self.path).expanduser().absolute()
        if path.is_file():
            return [path]
        found = path.rglob("*") if path.is_dir() else matching(path)
        files = sorted(each for each in found if is_table(each.name) and each.is_file())
        if not files:
            raise UserError(f"{self.path}: no such table; tables end in {', '.join(ENDINGS)}")
        return files


def matching(pattern: Path) -> list[Path]:
    """The files that an absolute or relative pattern matches."""
    return [Path(found) for found in glob.glob(str(pattern))]  # noqa: PTH207  (may be absolute)


def is_table(name: str) -> bool:
    """Whether a file of that name is a table."""
    return name.lower().endswith(ENDINGS)
