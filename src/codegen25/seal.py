"""Folders whose files can be told whole from damaged: a checksum of each, written last."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

SUMS = "checksums.json"


def seal(folder: Path) -> None:
    """Note the checksum of every file of a folder, when all of them are on the disk."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SUMS:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sums[path.relative_to(folder).as_posix()] = _sha256(path)
    with (folder / SUMS).open("w", encoding="utf-8") as file:
        file.write(json.dumps(sums, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def fault(folder: Path) -> str:
    """What is wrong with a sealed folder; empty when every file is as it was written."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        for name, sum_ in sums.items():
            if _sha256(folder / name) != sum_:
                return f"{name} is damaged"
    except OSError as error:
        return f"{Path(str(error.filename)).name} cannot be read ({error.strerror})"
    except (ValueError, AttributeError):
        return f"{SUMS} is damaged"
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
