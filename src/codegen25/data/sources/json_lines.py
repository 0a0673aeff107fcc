"""JSON lines in pieces: by bytes, or by blocks of lines where the file is compressed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from codegen25.data.documents import Count, Document
from codegen25.data.sources.reading import HUGE, account
from codegen25.data.sources.rows import RowRule
from codegen25.data.sources.streams import BROKEN, compressed, opened, optional
from codegen25.data.sources.task import TASK_BYTES, Task, stamp
from codegen25.errors import UserError

TOO_LONG = f"line larger than {HUGE // 10**6} MB"
BLOCK = 1024
"""Lines of a compressed file that go to one task together."""

COMPRESSED_TASKS = 8
"""Each task unpacks the whole file, so no more than so many share one."""

_PACKED = 4
"""Times smaller that code gets by packing; only the number of tasks depends on it."""


@dataclass(frozen=True)
class LinesTask:
    """Part number `part` of `parts` of a file.

    Of a plain file a part is the lines that begin in its range of bytes; of a compressed one,
    every `parts`th block of lines.
    """

    path: str
    part: int
    parts: int
    packed: bool
    rule: RowRule

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        name = Path(self.path).name
        try:
            for place, line in self._packed_lines() if self.packed else self._plain_lines():
                yield from self._judged(f"{name}#{place}", line, count)
        except BROKEN as error:
            if self.part == 0 or not self.packed:  # all parts of a packed file meet the same end
                reason = "truncated file" if isinstance(error, EOFError) else "corrupt file"
                yield from account(reason, 0, name, count)

    def _judged(self, place: str, line: bytes | None, count: Count) -> Iterator[Document]:
        if line is None:
            yield from account(TOO_LONG, HUGE, place, count)
        elif line.strip():
            result, size, name = self._row(line, place)
            yield from account(result, size or len(line), name, count)

    def _row(self, line: bytes, place: str) -> tuple[Document | str, int, str]:
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return "not UTF-8", 0, place
        except (ValueError, RecursionError):
            return "not JSON", 0, place
        return self.rule.judge(row, place)

    def _packed_lines(self) -> Iterator[tuple[int, bytes | None]]:
        with opened(Path(self.path)) as stream:
            for number, (_, line) in enumerate(lines_of(stream, 0)):
                if number // BLOCK % self.parts == self.part:
                    yield number + 1, line

    def _plain_lines(self) -> Iterator[tuple[int, bytes | None]]:
        with Path(self.path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start, stop = (size * part // self.parts for part in (self.part, self.part + 1))
            if start:  # a line that begins before the range is another part's
                stream.seek(start - 1)
                start += _rest_of_line(stream) - 1
            for place, line in lines_of(stream, start):
                if place >= stop:
                    return
                yield place, line

    def state(self) -> Any:
        """See `Task.state`."""
        return stamp(self.path)


def tasks(path: Path, rule: RowRule) -> list[Task]:
    """The tasks of a file of JSON lines."""
    try:
        packed = compressed(path)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if path.name.lower().endswith(".zst"):
        optional("zstandard")
    parts = -(-size * (_PACKED if packed else 1) // TASK_BYTES)
    parts = max(1, min(parts, COMPRESSED_TASKS) if packed else parts)
    return [LinesTask(str(path), part, parts, packed, rule) for part in range(parts)]


def lines_of(stream: BufferedIOBase, position: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines from `position` on, each with its own; None for one too large to be held."""
    while line := stream.readline(HUGE + 1):
        if len(line) > HUGE and not line.endswith(b"\n"):
            yield position, None
            position += len(line) + _rest_of_line(stream)
        else:
            yield position, line
            position += len(line)


def _rest_of_line(stream: BufferedIOBase) -> int:
    """Read on to the next line; the bytes passed."""
    passed = 0
    while piece := stream.readline(1 << 20):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed
