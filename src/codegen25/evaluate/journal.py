"""Append-only records, one JSON object a line, that survive being killed at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

Record = dict[str, Any]


class Journal:
    """A file of JSON lines. What was appended is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
        """Add records and wait until they are on the disk."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        if not text:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file beside its place, then rename it there."""
    staging = path.with_name(f".{path.name}.new")
    staging.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    staging.replace(path)
