"""The files in an archive one after the other, read safely: nothing is unpacked to disk.

Names that lead outside, links, bombs and broken archives come out as members with a reason why
they are refused; what came before a break is given, the same each time.
"""

from __future__ import annotations

import stat
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from codegen25.data.sources.reading import LINK
from codegen25.data.sources.streams import BROKEN, opened
from codegen25.errors import UserError

MAX_UNPACKED = 1 << 31
"""Bytes of one archive that are unpacked: of a tar all up to the last file that is read, of a zip
those of the files that are read."""

MAX_RATIO = 200
"""Unpacked bytes to the archive's bytes, once `SMALL` bytes are passed."""

SMALL = 10_000_000
MAX_HEADER = 1 << 20
"""Bytes of a tar header of variable length, which Python reads into memory whole."""

TOO_LARGE = "archive too large when unpacked"
OUTSIDE = "path outside the archive"
CORRUPT = "corrupt archive"
ENCRYPTED = "encrypted"

_BROKEN = (*BROKEN, zipfile.BadZipFile, tarfile.TarError, RuntimeError, struct.error, OverflowError)


class _TooLargeError(Exception):
    """More was unpacked than is allowed."""


@dataclass(frozen=True)
class Member:
    """One file of an archive, or what stands in its place.

    name     with `/` and without a leading `./`; the archive's own for what concerns all of it.
    size     unpacked, as declared, in bytes.
    refusal  why it must not be read, or empty.
    read     its content, or why it cannot be had; to be called before the next member is asked for.
    """

    name: str
    size: int
    refusal: str
    read: Callable[[], bytes | str]


def members(path: Path, wanted: Callable[[str, int], bool]) -> Iterator[Member]:
    """The members of a zip, a Debian package or a tar, compressed or not, folders aside.

    `wanted` tells of a name and size whether the file is going to be read. The archive's kind is
    told by its first bytes.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if head.startswith(b"PK"):
            yield from _zip_members(path, wanted)
        else:
            source = _debian(path) if head.startswith(b"!<arch>") else opened(path)
            with source as stream:
                yield from _tar_members(stream, path)
    except _TooLargeError:
        yield _fault(path.name, TOO_LARGE)
    except _BROKEN:
        yield _fault(path.name, CORRUPT)


def is_outside(name: str) -> bool:
    """Whether a member's name is absolute or climbs out of the archive, on any system."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or parts[0].endswith(":") or parts[0][1:2] == ":"


def _fault(name: str, reason: str) -> Member:
    return Member(name, 0, reason, lambda: reason)


def _allowed(archive: Path) -> int:
    return min(MAX_UNPACKED, max(SMALL, MAX_RATIO * archive.stat().st_size))


def _zip_members(path: Path, wanted: Callable[[str, int], bool]) -> Iterator[Member]:
    left = _allowed(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = info.filename.removeprefix("./")
            refusal = ""
            if is_outside(name):
                refusal = OUTSIDE
            elif stat.S_ISLNK(info.external_attr >> 16):
                refusal = LINK
            elif info.flag_bits & 1:
                refusal = ENCRYPTED
            elif wanted(name, info.file_size):
                # No more than the declared size is ever unpacked, so it is what counts.
                left -= info.file_size
                if left < 0:
                    raise _TooLargeError
            yield Member(name, info.file_size, refusal, _zip_reader(archive, info))


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes | str]:
    def read() -> bytes | str:
        try:
            return archive.read(info)
        except _BROKEN:
            return CORRUPT

    return read


def _tar_members(stream: BufferedIOBase, path: Path) -> Iterator[Member]:
    source = _Limited(stream, _allowed(path))
    broken: list[bool] = []
    with tarfile.open(fileobj=source, mode="r|", tarinfo=_Header) as archive:  # type: ignore[call-overload]
        while (info := archive.next()) is not None:
            archive.members.clear()  # a stream's members cannot be gone back to: no use in memory
            name = info.name.removeprefix("./")
            if info.issym() or info.islnk():
                yield _fault(name, LINK if info.issym() else "hard link")
            elif info.isreg():
                refusal = OUTSIDE if is_outside(name) else ""
                yield Member(name, info.size, refusal, _tar_reader(archive, info, broken))
            if broken:
                return


def _tar_reader(
    archive: tarfile.TarFile, info: tarfile.TarInfo, broken: list[bool]
) -> Callable[[], bytes | str]:
    def read() -> bytes | str:
        reason = CORRUPT
        try:
            file = archive.extractfile(info)
            assert file is not None
            raw = file.read()
            if len(raw) == info.size:
                return raw
        except _TooLargeError:
            reason = TOO_LARGE
        except _BROKEN:
            pass
        broken.append(True)
        return reason

    return read


class _Limited:
    """A stream that raises once more than `allowed` bytes were read from it."""

    def __init__(self, stream: BufferedIOBase, allowed: int) -> None:
        self._stream = stream
        self._left = allowed

    def read(self, size: int) -> bytes:
        data = self._stream.read1(size)  # what is there before the break, if there is one
        self._left -= len(data)
        if self._left < 0:
            raise _TooLargeError
        return data


class _Header(tarfile.TarInfo):
    """Python ends in silence at a header that is broken or missing; this raises instead."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the two empty blocks that end a tar
                raise
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        header = super().frombuf(buf, encoding, errors)
        special = not (header.isreg() or header.isdir() or header.issym() or header.islnk())
        if special and header.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


@contextmanager
def _debian(path: Path) -> Iterator[BufferedIOBase]:
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise UserError(f"{path}: reading a Debian package needs the program dpkg-deb") from error
    with process:
        assert process.stdout is not None
        try:
            yield cast(BufferedIOBase, process.stdout)
        finally:
            process.stdout.close()
            process.terminate()
