"""What was measured of the experiments' models, on whatever machines: a file of JSON lines.

An entry is what was found of a model, whose name says recipe and data, when asked for something: a
look at held-out text or an evaluation. Two machines do not train to the same last bit, so that an
entry names the weights it is of: of two looks the later one counts, and evaluations count that are
of its weights.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codegen25.bench.table import conditions
from codegen25.errors import UserError
from codegen25.evaluate.journal import Journal

LOOK = "look"
"""What is asked for that is no evaluation: the last look at held-out text."""
Entry = dict[str, Any]


class Record:
    """The entries of a file; without one nothing is known and nothing kept."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and not path.parent.is_dir():
            raise UserError(f"--record {path}: there is no folder {path.parent}; make it first")
        self.path = path

    def look(self, model: str) -> Entry | None:
        """The look that counts."""
        return next((e for e in reversed(self._entries(model)) if e["of"] == LOOK), None)

    def find(self, model: str, of: str, weights: str) -> Entry | None:
        """What an evaluation found of these weights."""
        return next(
            (e for e in self._entries(model) if (e["of"], e["weights"]) == (of, weights)), None
        )

    def whole(self, model: str, asks: Iterable[str]) -> dict[str, Entry] | None:
        """The look and all that is asked for of its weights; None if any of it is missing."""
        look = self.look(model)
        if look is None:
            return None
        found = {of: self.find(model, of, look["weights"]) for of in asks}
        entries = {of: entry for of, entry in found.items() if entry}
        return {LOOK: look, **entries} if len(entries) == len(found) else None

    def add(
        self, model: str, of: str, weights: str, found: Mapping[str, Any], **more: object
    ) -> Entry:
        """Keep what was found just now, on this machine."""
        made = conditions(("torch",))
        entry: Entry = {
            "model": model, "of": of, "found": dict(found), "weights": weights,
            "date": str(datetime.now(UTC).date()), "machine": made["machine"],
            "torch": made["versions"]["torch"], **more,
        }  # fmt: skip
        if self.path is not None:
            with alone(self.path.parent):
                Journal(self.path).append([entry])
        read_back: Entry = json.loads(json.dumps(entry))
        return read_back

    def _entries(self, model: str) -> list[Entry]:
        if self.path is None:
            return []
        with alone(self.path.parent):
            entries = Journal(self.path).read()
        try:
            return [each for each in entries if each["model"] == model and each["of"]]
        except KeyError as error:
            raise UserError(f"{self.path}: an entry has no {error}; mend or delete it") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Of processes that work on a folder one at a time; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
