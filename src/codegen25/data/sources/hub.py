"""Datasets of the Hugging Face hub, streamed shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from codegen25.data.documents import Count, Document
from codegen25.data.sources.reading import MAX_BYTES, account
from codegen25.data.sources.rows import TEXT, Columns, RowRule
from codegen25.data.sources.streams import optional
from codegen25.data.sources.task import Task
from codegen25.errors import UserError


@dataclass(frozen=True)
class HuggingFace:
    """A dataset by its name, with the columns of `Table`.

    name      `OWNER/NAME`, or a builder of the `datasets` library such as "parquet" with `files`.
    config    which of the dataset's configurations; empty: its only one.
    split     which split.
    files     patterns of data files, in the dataset or on this machine; empty: all.
    revision  commit, branch or tag; a commit keeps the corpus the same when the dataset changes.
    """

    name: str
    config: str = ""
    split: str = "train"
    files: tuple[str, ...] = ()
    revision: str = ""
    text: str = TEXT
    columns: Columns = field(default_factory=Columns)
    repo: str = ""
    license: str = ""
    language: str = ""
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`. The library has its own cache, which HF_HOME moves."""
        rule = RowRule(
            self.text, self.columns, self.repo, self.license, self.language, self.max_bytes
        )
        place = (self.name, self.config, self.split, self.files, self.revision)
        shards = _opened(*place)[0].num_shards
        return [ShardTask(*place, shard, shards, rule) for shard in range(shards)]


@dataclass(frozen=True)
class ShardTask:
    """Reads shard number `shard` of `shards` of a streamed dataset."""

    name: str
    config: str
    split: str
    files: tuple[str, ...]
    revision: str
    shard: int
    shards: int
    rule: RowRule

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`. A connection that fails is a UserError: a later run goes on."""
        arrow = optional("pyarrow")
        stream, _ = _opened(self.name, self.config, self.split, self.files, self.revision)
        rows = iter(stream.shard(num_shards=self.shards, index=self.shard))
        short = self.name.rpartition("/")[2]
        number = 0
        while True:
            place = f"{short}#{self.shard}.{number}"
            try:
                row = next(rows)
            except StopIteration:
                return
            except arrow.lib.ArrowInvalid:
                yield from account("corrupt file", 0, place, count)
                return
            except Exception as error:  # the library lets many others' through
                raise UserError(f"hf:{self.name}: reading stopped: {_last_line(error)}") from error
            number += 1
            result, size, named = self.rule.judge(row, place)
            yield from account(result, size, named, count)

    def state(self) -> Any:
        """See `Task.state`: changes with the dataset's commit, or the times of local files."""
        place = (self.name, self.config, self.split, self.files, self.revision)
        return str(_opened(*place)[1])


@lru_cache(maxsize=8)
def _opened(
    name: str, config: str, split: str, files: tuple[str, ...], revision: str
) -> tuple[Any, str]:
    """The dataset, to be read as it is downloaded, and its identity; opened once in a process."""
    library = optional("datasets")
    try:
        builder = library.load_dataset_builder(
            name, config or None, data_files=list(files) or None, revision=revision or None
        )
        return builder.as_streaming_dataset(split=split), builder.config_id
    except Exception as error:  # the library lets many others' through
        raise UserError(f"hf:{name} cannot be opened: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
