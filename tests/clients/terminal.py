"""An editor in a terminal of its own: keys go in, and what it draws is read."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ESCAPES = re.compile(r"\x1b(\[[0-9;?>]*[A-Za-z]|[()][A-Z0-9]|[=>])")


class Terminal:
    """A command in an xterm, with `home` for its settings."""

    def __init__(self, command: Sequence[str | Path], home: Path, **environment: str) -> None:
        self.seen = ""
        self._host, terminal = pty.openpty()
        given = {"HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8"} | environment
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=terminal, stdout=terminal, stderr=terminal,
            env=os.environ | given,
        )  # fmt: skip
        os.close(terminal)

    def type(self, keys: str) -> None:
        """Press keys; what was on the screen before is forgotten."""
        self.seen = ""
        os.write(self._host, keys.encode())

    def until(self, there: Callable[[], bool], seconds: float = 30) -> None:
        """Read the screen until something holds."""
        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, self.seen[-3000:]
            self._read()

    def shows(self, text: str) -> bool:
        """Whether a text was drawn since the last keys."""
        return text in ESCAPES.sub("", self.seen)

    def ended(self, seconds: float = 30) -> None:
        """Wait until the command has ended well."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            try:
                self._read()
            except OSError:  # the terminal's other end is closed
                break
        assert self.process.wait(10) == 0, self.seen[-3000:]

    def close(self) -> None:
        """End the command if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._host)

    def _read(self) -> None:
        if select.select([self._host], [], [], 0.05)[0]:
            self.seen += os.read(self._host, 65536).decode(errors="replace")
