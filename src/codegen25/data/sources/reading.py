"""Bytes to a document, or the reason why not; the same rules for files, archives and tables."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from codegen25.data.documents import Count, Document
from codegen25.data.languages import language_of
from codegen25.data.sources.license_text import header_license

MAX_BYTES = 1 << 20
"""Default of the largest file read."""

HUGE = 100_000_000
"""No file larger than this is read, whatever limit is asked for."""

LINK = "symbolic link"

_SKIPPED = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True)
class Origin:
    """What the documents of one repository have in common.

    license    SPDX expression, or empty. A file whose own header names another stands under that
               one, unless the licence is `declared`: the user's word.
    max_bytes  of the largest file read.
    """

    repo: str
    license: str = ""
    declared: bool = False
    max_bytes: int = MAX_BYTES

    @property
    def limit(self) -> int:
        """Bytes of the largest file that is read."""
        return min(self.max_bytes, HUGE)


def judge(raw: bytes, path: str, origin: Origin) -> Document | str:
    """The document of a file's bytes, or why there is none."""
    if len(raw) > origin.limit:
        return too_large(origin)
    if b"\0" in raw:
        return "binary"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "not UTF-8"
    text = text.replace("\r\n", "\n")
    language = language_of(path, text)
    if not language:
        return "unknown language"
    return with_license(Document(text, path, origin.repo, origin.license, language), origin)


def with_license(document: Document, origin: Origin) -> Document:
    """The document under the licence that its own header names, if one does."""
    if origin.declared:
        return document
    named = header_license(document.text)
    return replace(document, license=named) if named else document


def read_file(path: str, limit: int) -> tuple[int, bytes | str]:
    """A file's size and its content, or why it cannot be had; links are not followed.

    At most `limit` + 1 bytes are read.
    """
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return 0, LINK
        if not stat.S_ISREG(info.st_mode):
            return 0, "no regular file"
        with open(path, "rb") as file:  # noqa: PTH123  (a name that is no UTF-8 stays as it is)
            return info.st_size, file.read(limit + 1)
    except OSError:
        return 0, "unreadable"


def account(result: Document | str, size: int, name: str, count: Count) -> Iterator[Document]:
    """Count a file of `size` bytes looked at, and pass its document on if there is one."""
    count.enter(size)
    if isinstance(result, str):
        count.note(result, name)
    else:
        count.leave(result.size)
        yield result


def too_large(origin: Origin) -> str:
    """The reason, with the limit in the largest unit that divides it."""
    units = (("MiB", 1 << 20), ("MB", 10**6), ("KiB", 1 << 10), ("kB", 10**3), ("bytes", 1))
    unit, factor = next(each for each in units if origin.limit % each[1] == 0)
    return f"larger than {origin.limit // factor} {unit}"


def skipped_folder(name: str) -> bool:
    """Whether a folder of that name is passed over: hidden, installed, compiled, metadata."""
    return name.startswith(".") or name in _SKIPPED or name.endswith((".dist-info", ".egg-info"))


def skipped(path: str) -> bool:
    """Whether a file's path leads through such a folder."""
    return any(map(skipped_folder, PurePosixPath(path).parts[:-1]))


def printable(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")
