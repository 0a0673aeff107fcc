"""Sources of structured records: the history of a git checkout, and issues as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen25.data.documents import Count, Document
from codegen25.data.records.commits import commits
from codegen25.data.records.issues import issue
from codegen25.data.sources import git
from codegen25.data.sources.folder import license_of
from codegen25.data.sources.json_lines import TOO_LONG, lines_of
from codegen25.data.sources.reading import HUGE, account
from codegen25.data.sources.streams import BROKEN, opened
from codegen25.data.sources.task import Task, stamp
from codegen25.errors import UserError


@dataclass(frozen=True)
class Commits:
    """The commits of a checkout that changed one file and said why.

    path     of the checkout, or of a bare repository.
    repo     its name; by default `owner/name` of the remote `origin`, else the folder's name.
    license  SPDX expression; by default that of the checkout's licence text.
    limit    at most so many records, the newest.
    """

    path: str
    repo: str = ""
    license: str = ""
    limit: int = 10_000

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`: one, since history is read in one stream."""
        root = Path(self.path).expanduser().resolve()
        head = git.head(root)
        if not head:
            raise UserError(f"{self.path} is no git checkout with a commit in it")
        repo = self.repo or git.remote_name(root) or root.name
        return [CommitsTask(str(root), head, repo, self.license or license_of(root), self.limit)]


@dataclass(frozen=True)
class CommitsTask:
    """Reads the history up to the commit `head`."""

    path: str
    head: str
    repo: str
    license: str
    limit: int

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`; commits that make no record are not counted."""
        for document in commits(
            Path(self.path), repo=self.repo, license=self.license, limit=self.limit
        ):
            yield from account(document, document.size, document.name, count)

    def state(self) -> Any:
        """See `Task.state`."""
        return self.head


@dataclass(frozen=True)
class Issues:
    """Issues with their comments, a JSON object a line; .gz and .zst too. See `issue`."""

    path: str
    repo: str = ""
    license: str = ""

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise UserError(f"{self.path} is no file of issues as JSON lines")
        return [IssuesTask(str(path), self.repo, self.license)]


@dataclass(frozen=True)
class IssuesTask:
    """Reads a file of issues."""

    path: str
    repo: str
    license: str

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        name = Path(self.path).name
        try:
            with opened(Path(self.path)) as stream:
                for place, (_, line) in enumerate(lines_of(stream, 0)):
                    if line is None:
                        yield from account(TOO_LONG, HUGE, f"{name}#{place + 1}", count)
                    elif line.strip():
                        record = self._record(line, place)
                        yield from account(record, len(line), f"{name}#{place + 1}", count)
        except BROKEN:
            yield from account("corrupt file", 0, name, count)

    def _record(self, line: bytes, place: int) -> Document | str:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return "not JSON"
        if not isinstance(row, dict):
            return "not JSON"
        row.setdefault("number", f"row-{place}")
        return issue(row, repo=self.repo, license=self.license)

    def state(self) -> Any:
        """See `Task.state`."""
        return stamp(self.path)
