"""The header of a GGUF file: its keys and values, without the tensors (ggml's docs/gguf.md)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from codegen25.errors import UserError

MAGIC, VERSIONS = b"GGUF", (2, 3)
MOST_KEYS = 1 << 16
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9


def read(path: Path) -> dict[str, Any]:
    """All keys of a file. What is no GGUF, damaged or cut short is a UserError."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).header()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, struct.error) as error:
        raise UserError(f"{path}: no GGUF file, or a damaged one ({error})") from error


class _Reader:
    """Reads numbers and strings; a length that exceeds the file is a ValueError."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def header(self) -> dict[str, Any]:
        if self._bytes(4) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        if (version := self._number("I")) not in VERSIONS:
            raise ValueError(f"version {version} is not one of {VERSIONS}")
        self._number("Q")  # tensors
        if (count := self._number("Q")) > MOST_KEYS:
            raise ValueError(f"it says it has {count} keys")
        return {self._string(): self._value(self._number("I")) for _ in range(count)}

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        raise ValueError(f"a value is of the unknown type {kind}")

    def _array(self) -> list[Any]:
        kind, count = self._number("I"), self._number("Q")
        if kind == _STRING:
            if 8 * count > self._left:  # each has its length before it
                raise ValueError(f"a list of {count} texts is longer than the file")
            one: Callable[[], str] = self._string
            return [one() for _ in range(count)]
        if kind not in _NUMBERS:
            raise ValueError(f"a list is of the unknown type {kind}")
        letter = _NUMBERS[kind]
        data = self._bytes(count * struct.calcsize(letter))
        return [value for (value,) in struct.iter_unpack(f"<{letter}", data)]

    def _string(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8")

    def _number(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self._bytes(struct.calcsize(letter)))[0]

    def _bytes(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise ValueError("it ends early")
        return self._file.read(count)
