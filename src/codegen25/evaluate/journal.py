"""Append-only records, one JSON object a line, that survive being killed at any moment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

Record = dict[str, Any]


SYNC_SECONDS = 1.0
"""Records are forced to the disk at most this often: that takes longer than to write them."""


class Journal:
    """A file of JSON lines.

    What was appended is in the file when `append` returns, so it survives the process, however that
    ends; it survives the machine once it was forced to the disk, by `append` or by `sync`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced = -SYNC_SECONDS
        self._unsynced = False

    def read(self) -> list[Record]:
        """All whole records; a half-written last line, of a killed process, is cut off the file."""
        if not self.path.exists():
            return []
        raw = self.path.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        records = []
        for number, line in enumerate(raw[:whole].split(b"\n")[:-1], 1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("no object")
            except ValueError as error:
                raise UserError(
                    f"{self.path}:{number}: no record ({error}); mend or delete this line"
                ) from error
            records.append(record)
        return records

    def append(self, records: Iterable[Record]) -> None:
        """Add records; force them to the disk if the last time is SYNC_SECONDS ago."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        if not text:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            self._unsynced = True
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self._sync(file.fileno())

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        if self._unsynced:
            with self.path.open("rb") as file:
                self._sync(file.fileno())

    def _sync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self._synced, self._unsynced = time.monotonic(), False


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file beside its place, then rename it there."""
    staging = path.with_name(f".{path.name}.new")
    staging.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    staging.replace(path)
