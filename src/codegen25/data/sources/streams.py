"""Compressed files as streams of bytes, told by their first bytes; optional libraries."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import zlib
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What reading a broken compressed stream may raise; EOFError where it was only cut short."""

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


def optional(module: str) -> Any:
    """A module that only some sources need; a UserError names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        # The extra does not bring `datasets`, large and of use for one source only.
        wanted = "datasets" if package == "datasets" else "'codegen25[data]'"
        raise UserError(f"{package} is not installed; run: pip install {wanted}") from error


def compressed(path: Path) -> bool:
    """Whether the file is in one of the formats that `opened` unpacks."""
    with path.open("rb") as file:
        return file.read(6).startswith((_GZIP, _BZIP2, _XZ, _ZSTD))


def opened(path: Path) -> io.BufferedIOBase:
    """The file's bytes, unpacked from gzip, bzip2, xz or zstandard; to be closed.

    One that is cut short gives what is there and then raises EOFError.
    """
    raw = path.open("rb")
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(_BZIP2):
        return bz2.BZ2File(raw)
    if head.startswith(_XZ):
        return lzma.LZMAFile(raw)
    if head.startswith(_ZSTD):
        return io.BufferedReader(_Zstandard(raw), 1 << 16)
    return raw


class _Zstandard(io.RawIOBase):
    """zstandard's own reader ends in silence where a file is cut short; this one raises."""

    INPUT = 1 << 12
    """Bytes unpacked at a time: small, as 4 bytes may become 128 KiB."""

    def __init__(self, raw: io.BufferedIOBase) -> None:
        library = optional("zstandard")
        self._new = library.ZstdDecompressor(max_window_size=1 << 31).decompressobj
        self._error: type[Exception] = library.ZstdError
        self._raw = raw
        self._frame: Any = None
        self._input = self._output = b""
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._taken == len(self._output):
            if not (self._input or self._fill()):
                return 0
            self._unpack()
        taken = memoryview(self._output)[self._taken : self._taken + len(buffer)]
        buffer[: len(taken)] = taken
        self._taken += len(taken)  # what is left stays where it is: a bomb's megabytes, say
        return len(taken)

    def _fill(self) -> bool:
        self._input = self._raw.read(self.INPUT)
        if not self._input and self._frame is not None:
            raise EOFError("the compressed file ends before its end-of-frame mark")
        return bool(self._input)

    def _unpack(self) -> None:
        self._frame = self._frame or self._new()
        try:
            self._output, self._taken = self._frame.decompress(self._input), 0
        except self._error as error:
            raise OSError(str(error)) from error
        self._input = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None

    def close(self) -> None:
        self._raw.close()
        super().close()
