"""The source files of a folder, found and read with care: no links, no devices, no junk."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codegen25.sample.context.ignore import FILE, Rule, is_ignored, is_junk_folder, parse
from codegen25.sample.context.languages import family

LONGEST_LINE = 2000
"""Characters of a line that nobody wrote: a file with one is generated or minified."""


@dataclass(frozen=True)
class Limits:
    """Bounds of an index; what is nearer to the top of the folder comes first.

    `entries` are the names looked at, so that a whole home directory costs a second, not minutes.
    """

    files: int = 2000
    bytes: int = 16_000_000
    file_bytes: int = 200_000
    entries: int = 50_000


@dataclass(frozen=True)
class Found:
    """A file's path relative to the folder, with `/`, its time of change (ns) and its bytes."""

    path: str
    modified: int
    size: int


def walk(root: Path, limits: Limits) -> Iterator[Found]:
    """Source files below `root`, level by level, sorted; what cannot be read is passed over."""
    pending: deque[tuple[str, tuple[Rule, ...]]] = deque([("", ())])
    entries = files = size = 0
    while pending:
        folder, rules = pending.popleft()
        listed = _listed(root / folder, limits.entries - entries)
        entries += len(listed)
        if any(entry.name == FILE for entry in listed):
            rules = (*rules, *parse(read(root / folder / FILE, limits.file_bytes) or "", folder))
        for entry in listed:
            path = folder + entry.name
            found = _look(entry, path, rules, limits)
            if isinstance(found, str):
                pending.append((found, rules))
            elif found is not None and size + found.size <= limits.bytes:
                files, size = files + 1, size + found.size
                yield found
            if files >= limits.files:
                return
        if entries >= limits.entries:
            return


def _look(
    entry: os.DirEntry[str], path: str, rules: tuple[Rule, ...], limits: Limits
) -> Found | str | None:
    """A file to read, a folder to enter ("name/"), or None."""
    try:
        if entry.is_dir(follow_symlinks=False):
            passed_over = is_junk_folder(entry.name) or is_ignored(path, True, rules)
            return None if passed_over else f"{path}/"
        if entry.name.startswith(".") or family(path) is None or is_ignored(path, False, rules):
            return None
        info = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(info.st_mode) or info.st_size > limits.file_bytes:
        return None
    return Found(path, info.st_mtime_ns, info.st_size)


def _listed(folder: Path, most: int) -> list[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) >= most:
                    break
                found.append(entry)
    except OSError:
        return []
    return sorted(found, key=lambda entry: entry.name)


def read(path: Path, most: int) -> str | None:
    """The text of a regular file with `\\n` line ends, None for what is no text or no source.

    A link is not followed, also where the file was one a moment ago and became a link since.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            raw = file.read(most + 1)
    except (OSError, ValueError):
        return None
    if len(raw) > most or b"\0" in raw:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return None if any(len(line) > LONGEST_LINE for line in text.split("\n")) else text
