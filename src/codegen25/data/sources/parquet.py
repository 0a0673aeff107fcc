"""Parquet files, a task for each row group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen25.data.documents import Count, Document
from codegen25.data.sources.reading import account
from codegen25.data.sources.rows import RowRule
from codegen25.data.sources.streams import optional
from codegen25.data.sources.task import Fault, Task, stamp
from codegen25.errors import UserError

ROWS = 64
"""Rows held in memory at once."""

CORRUPT = "corrupt file"


@dataclass(frozen=True)
class RowGroupTask:
    """Reads row group number `group`, of its columns those that are needed."""

    path: str
    group: int
    columns: tuple[str, ...]
    rule: RowRule

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`. A broken group is counted; its rows before the break are used."""
        name = Path(self.path).name
        arrow, library = optional("pyarrow"), optional("pyarrow.parquet")
        number = 0
        try:
            with library.ParquetFile(self.path, page_checksum_verification=True) as file:
                batches = file.iter_batches(ROWS, row_groups=[self.group], columns=self.columns)
                for batch in batches:
                    for row in _rows(batch):
                        place = f"{name}#{self.group}.{number}"
                        number += 1
                        result, size, named = (
                            (row, 0, place) if isinstance(row, str) else self.rule.judge(row, place)
                        )
                        yield from account(result, size, named, count)
        except (OSError, arrow.lib.ArrowException):
            yield from account(CORRUPT, 0, f"{name}#{self.group}", count)

    def state(self) -> Any:
        """See `Task.state`."""
        return stamp(self.path)


def tasks(path: Path, rule: RowRule) -> list[Task]:
    """The tasks of a Parquet file; one that cannot be opened is a `Fault`.

    One that lacks the text's column is a UserError.
    """
    arrow, library = optional("pyarrow"), optional("pyarrow.parquet")
    try:
        with library.ParquetFile(path) as file:
            names, groups = file.schema_arrow.names, file.num_row_groups
    except (OSError, arrow.lib.ArrowException):
        return [Fault(path.name, CORRUPT)]
    if not set(rule.names("text")) & set(names):
        raise UserError(
            f"{path} has no column {rule.text}; name the text's with text = …, one of "
            + ", ".join(names)
        )
    needed = tuple(sorted(rule.all_names() & set(names)))
    return [RowGroupTask(str(path), group, needed, rule) for group in range(groups)]


def _rows(batch: Any) -> Iterator[dict[str, Any] | str]:
    """The rows, or a reason for one that holds no text that can be decoded."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield "not UTF-8"
