"""A run's folder: its conditions, its samples and verdicts as they come, its scores at the end."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from codegen25 import __version__
from codegen25.errors import UserError
from codegen25.evaluate.journal import Journal, write_json
from codegen25.evaluate.samples import TROUBLE, Judged, Key, Sample

MAY_GROW = ("n", "temperatures", "limit")
"""What a run that goes on may ask differently: the samples there are stay what they are."""
ABOUT = ("date", "machine", "versions", "codegen25", "data", "parameters")
"""What is noted and not compared: a run may go on elsewhere or another day."""


class RunFolder:
    """An open folder; make one with `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples = Journal(folder / "samples.jsonl")
        self.verdicts = Journal(folder / "verdicts.jsonl")
        self.bits = Journal(folder / "bits.jsonl")

    def begin(self, conditions: Mapping[str, Any]) -> None:
        """Note the conditions; a UserError if the folder holds a run of other ones."""
        path = self.folder / "run.json"
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
                different = _differences(before, conditions)
            except (OSError, ValueError, AttributeError) as error:
                raise UserError(f"{path}: cannot be read ({error}); give another --out") from error
            if different:
                raise UserError(
                    f"{self.folder} holds another run: {'; '.join(different)}; give another --out"
                )
        elif self.samples.path.exists():
            raise UserError(f"{self.folder} holds samples but no run.json; give another --out")
        write_json(path, {**conditions, **about()})

    def known_samples(self) -> dict[Key, Sample]:
        """The samples made so far."""
        try:
            found = [Sample(**record) for record in self.samples.read()]
        except TypeError as error:
            raise UserError(f"{self.samples.path}: holds no samples of ours ({error})") from error
        return {sample.key: sample for sample in found}

    def known_verdicts(self) -> list[Judged]:
        """The verdicts so far, without those that are to be tried again."""
        try:
            found = [Judged(**record) for record in self.verdicts.read()]
        except TypeError as error:
            raise UserError(f"{self.verdicts.path}: holds no verdicts of ours ({error})") from error
        latest = {(each.key, each.form): each for each in found}
        return [each for each in latest.values() if each.status != TROUBLE]

    def add_samples(self, samples: list[Sample]) -> None:
        """Put samples into the folder."""
        self.samples.append(sample.record() for sample in samples)

    def add_verdicts(self, verdicts: list[Judged]) -> None:
        """Put verdicts into the folder."""
        self.verdicts.append(asdict(verdict) for verdict in verdicts)

    def finish(self, scores: Mapping[str, Any]) -> None:
        """Write what the run came to."""
        write_json(self.folder / "scores.json", scores)


@contextmanager
def opened(folder: Path) -> Iterator[RunFolder]:
    """A run folder that no other process writes to meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be a folder ({error.strerror})") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"--out {folder}: another process is writing there") from error
        yield RunFolder(folder)
    finally:
        os.close(handle)


def about() -> dict[str, Any]:
    """Where and when."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "tokenizers", "numpy")},
        },
        "codegen25": __version__,
    }


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    now = json.loads(json.dumps(now))
    names = [name for name in {**before, **now} if name not in (*MAY_GROW, *ABOUT)]
    return [
        f"{name} is {_short(before.get(name))} there and {_short(now.get(name))} here"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _short(value: object) -> str:
    text = "not given" if value is None else str(value)
    return text[:12] if len(text) == 64 else text
