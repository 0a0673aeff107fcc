"""The folder that a sandbox's workers live in, and what killed ones have left."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "codegen25-sandbox-"
_LOCK = "lock"


class Root:
    """A new temporary folder, locked for as long as this process lives.

    Those of processes that were killed are locked no more: they are removed first.
    """

    def __init__(self) -> None:
        _remove_left()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        new = self.path / f".{_LOCK}"  # never there without being held
        self._lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.path / _LOCK)

    def __str__(self) -> str:
        return str(self.path)

    def folder(self) -> Path:
        """A new folder in it."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def remove(self) -> None:
        """Once nobody lives there any more; a second time does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def _remove_left() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            mine = not path.is_symlink() and path.stat().st_uid == os.geteuid()
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if mine else -1
        except OSError:  # somebody else removes it, or has only begun to make it
            continue
        try:
            if lock >= 0:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # somebody lives there
            pass
        finally:
            if lock >= 0:
                os.close(lock)
