"""A source is turned into tasks; a task reads a bounded piece and yields documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from codegen25.data.documents import Count, Document
from codegen25.data.sources.reading import Origin, account, judge, read_file

T = TypeVar("T")

TASK_BYTES = 8_000_000
"""Bytes of source that a task is meant to read."""


class Task(Protocol):
    """Picklable; gives the same documents each time, in any process that sees the same files."""

    def read(self, count: Count) -> Iterator[Document]:
        """The documents of the piece; every file looked at enters `count` and leaves it, or is
        dropped with a reason."""

    def state(self) -> Any:
        """Plain data that changes when what the task reads does: sizes and times of files."""


class Source(Protocol):
    """Something a user names that holds documents."""

    def tasks(self, cache: Path) -> list[Task]:
        """The source cut into tasks. What is fetched for it is kept in the folder `cache`."""


@dataclass(frozen=True)
class File:
    """A file on disk and what it is called in its repository."""

    path: str
    name: str
    origin: Origin


@dataclass(frozen=True)
class FilesTask:
    """Reads files one by one."""

    files: tuple[File, ...]

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        for file in self.files:
            size, raw = read_file(file.path, file.origin.limit)
            result = raw if isinstance(raw, str) else judge(raw, file.name, file.origin)
            yield from account(result, size, f"{file.origin.repo}/{file.name}", count)

    def state(self) -> Any:
        """See `Task.state`."""
        return [stamp(file.path) for file in self.files]


@dataclass(frozen=True)
class Fault:
    """Reads nothing: something as a whole could not be read, which is to be counted."""

    name: str
    reason: str

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        yield from account(self.reason, 0, self.name, count)

    def state(self) -> Any:
        """See `Task.state`."""
        return None


def stamp(path: str) -> tuple[int, int] | None:
    """Size and time of change (ns) of a file, None for one that is not there."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def pieces(
    items: Iterable[T], size: Callable[[T], int], target: int = TASK_BYTES
) -> list[tuple[T, ...]]:
    """Items in their order, in groups that end once they hold `target` bytes."""
    groups: list[tuple[T, ...]] = []
    group: list[T] = []
    held = 0
    for item in items:
        group.append(item)
        held += size(item)
        if held >= target:
            groups.append(tuple(group))
            group, held = [], 0
    return [*groups, tuple(group)] if group else groups


def file_tasks(files: Iterable[File]) -> list[Task]:
    """The files, in the order of their repositories and names, as tasks."""

    def size(file: File) -> int:
        known = stamp(file.path)
        return known[0] if known and known[0] <= file.origin.limit else 0

    ordered = sorted(files, key=lambda file: (file.origin.repo, file.name, file.path))
    return [FilesTask(group) for group in pieces(ordered, size)]
