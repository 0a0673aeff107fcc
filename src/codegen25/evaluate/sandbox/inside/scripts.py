"""Programs of other languages: an interpreter on one file, judged by its exit code."""

from __future__ import annotations

import os
import select
from pathlib import Path

from .clocks import Watch

_SUFFIX = {"javascript": "js", "typescript": "ts"}


def execute(descriptor: int, command: list[str], language: str, source: str) -> None:
    """Become the interpreter, in a confined fork; its errors go to `descriptor`."""
    file = Path(f"program.{_SUFFIX.get(language, language)}")
    file.write_text(source, encoding="utf-8", errors="surrogatepass")
    folder = str(Path.cwd())
    os.dup2(descriptor, 2)
    os.closerange(3, 256)
    environment = {"TMPDIR": folder, "HOME": folder, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    os.execve(command[0], [*command, str(file)], environment)


def listen(read: int, watch: Watch, most: int) -> tuple[str, str]:
    """The last line that it said, and which limit it passed; until it ends or goes too far."""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    held, size = b"", 0
    while True:
        while not poll.poll(watch.pause() * 1000):
            if reason := watch.over():
                return "", reason
        part = os.read(read, 1 << 16)
        size += len(part)
        held = (held + part)[-2000:]
        if not part or size > most:
            break
        if reason := watch.over():
            return "", reason
    lines = held.decode("utf-8", "replace").strip().splitlines()
    said = [each for each in lines if "Error" in each] or lines
    return (said[-1] if said else ""), ""
