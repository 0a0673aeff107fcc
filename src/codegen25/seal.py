"""Folders whose files can be told whole from damaged: a checksum of each, written last."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from codegen25.errors import UserError

SUMS = "checksums.json"


def seal(folder: Path) -> None:
    """Note the checksum of every file of a folder, when all of them are on the disk."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SUMS:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sums[path.relative_to(folder).as_posix()] = file_sha256(path)
    with (folder / SUMS).open("w", encoding="utf-8") as file:
        file.write(json.dumps(sums, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def fault(folder: Path) -> str:
    """What is wrong with a sealed folder; empty when every file is as it was written.

    A file that is there and cannot be read, for its rights or a file system that is away, may be
    whole: a UserError.
    """
    path = folder / SUMS
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))
        for name, sum_ in sums.items():
            path = folder / name
            if file_sha256(path) != sum_:
                return f"{name} is damaged"
    except (FileNotFoundError, NotADirectoryError):
        return f"{path.relative_to(folder)} is missing"
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); whether it is damaged is not known"
        ) from error
    except (ValueError, AttributeError):
        return f"{SUMS} is damaged"
    return ""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
