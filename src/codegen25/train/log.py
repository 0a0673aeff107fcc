"""A run's log: JSON lines, one a step and one a look at held-out text; TensorBoard if asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

LOG, BOARD = "log.jsonl", "tensorboard"
TEXT, ANSWERS = "heldout_bits_per_byte", "heldout_pairs_bits_per_byte"
"""A look's bits per byte of held-out text, and of the answers of held-out pairs."""
NOTE = "note"
"""What an entry has that came from elsewhere, see `note`."""


class Log:
    """Lines of `OUT/log.jsonl`, in memory until there is a folder to write them to."""

    def __init__(self, out: Path, tensorboard: bool = False) -> None:
        self.path = out / LOG
        self._board = Board(out / BOARD) if tensorboard else None
        self.entries: list[dict[str, Any]] = []
        self._written = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry."""
        self.entries.append(dict(entry))

    def write(self) -> None:
        """Append what is new to the file, whole lines in one write."""
        lines = "".join(json.dumps(entry) + "\n" for entry in self.entries[self._written :])
        with self.path.open("a") as file:
            file.write(lines)
        if self._board:
            self._board.write(self.entries[self._written :])
        self._written = len(self.entries)

    def rewind(self, step: int) -> None:
        """Take over the file's entries up to `step`; those of steps to be done again go."""
        if self.path.exists():
            self.entries = [entry for entry in read(self.path) if entry["step"] <= step]
        staging = self.path.with_name(f".{LOG}.new")
        staging.write_text("".join(json.dumps(entry) + "\n" for entry in self.entries))
        staging.replace(self.path)
        self._written = len(self.entries)

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The entries of steps."""
        return [entry for entry in self.entries if "loss" in entry]

    @property
    def looks(self) -> list[dict[str, Any]]:
        """The entries of looks at held-out text."""
        return [e for e in self.entries if "loss" not in e and NOTE not in e]


class Board:
    """The same figures for TensorBoard; steps that are done again replace those before."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "tensorboard = true needs the package tensorboard; pip install 'codegen25[train]'"
            ) from error
        self._folder, self._writer_of = str(folder), SummaryWriter
        self._writer: Any = None

    def write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add the figures of entries, and let them be seen."""
        for entry in entries:
            if self._writer is None:
                make: Any = self._writer_of
                self._writer = make(self._folder, purge_step=entry["step"])
            for name, value in entry.items():
                if name != "step":
                    self._writer.add_scalar(name, value, entry["step"])
        if self._writer:
            self._writer.flush()


def note(path: Path, entry: Mapping[str, Any]) -> None:
    """Add an entry about a step to a log, of a run that may be under way: one line, at the end.

    A last line that was cut off is of a run that ended; nothing can be read of it, and it goes.
    """
    raw = path.read_bytes()
    if not raw.endswith(b"\n"):
        os.truncate(path, raw.rfind(b"\n") + 1)
    with path.open("a") as file:
        file.write(json.dumps({**entry, NOTE: True}) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The entries of a log; a last line that was cut off, as by a full disk, is left out."""
    try:
        lines = path.read_text().split("\n")
    except OSError as error:
        raise UserError(f"{path}: no log of a run ({error.strerror})") from error
    entries = []
    for number, line in enumerate(filter(None, lines), 1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            if line is not lines[-1]:
                raise UserError(f"{path}: line {number} is not JSON ({error})") from error
    return entries
