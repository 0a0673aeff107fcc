"""Where rows are cut: computed once for a corpus, kept beside it and read through a memory map.

To cut rows, all text has to be tokenised. What comes out is a few bytes a piece:

    CORPUS/rows/SPLIT-KEY.npy  int64: a checksum of the rest (4), the number of rows, after how many
                               pieces each row ends, and the pieces: twice the byte offset at which
                               a piece ends, plus 1 where its document ends too

Pieces lie end to end, so each starts where the one before it ends. The key is a hash of the text,
the tokenizer and the lengths: another tokenizer finds no table, or its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codegen25.data.shards import TextShard

FOLDER = "rows"
FORMAT = 1
SUM = 4
"""Numbers that the checksum takes, sha256 being 32 bytes."""


@dataclass(frozen=True)
class Piece:
    """Bytes `start` to `end` of the shard; `final` when the document ends there."""

    start: int
    end: int
    final: bool


class RowTable:
    """The pieces of each row. `ends` (rows,) and `pieces` (pieces,) as in the file."""

    def __init__(self, ends: NDArray[np.int64], pieces: NDArray[np.int64]) -> None:
        self.ends, self.pieces = ends, pieces

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> list[Piece]:
        index = range(len(self))[index]
        first, last = (int(self.ends[index - 1]) if index else 0), int(self.ends[index])
        start = int(self.pieces[first - 1]) >> 1 if first else 0
        row = []
        for code in self.pieces[first:last].tolist():
            row.append(Piece(start, code >> 1, bool(code & 1)))
            start = code >> 1
        return row

    def __iter__(self) -> Iterator[list[Piece]]:
        return (self[i] for i in range(len(self)))


def made(rows: Iterable[list[Piece]]) -> RowTable:
    """The table of rows whose pieces lie end to end, the first at 0."""
    ends, pieces = array("q"), array("q")
    for row in rows:
        pieces.extend(2 * piece.end + piece.final for piece in row)
        ends.append(len(pieces))
    return RowTable(np.array(ends, dtype=np.int64), np.array(pieces, dtype=np.int64))


def stored(shard: TextShard, by: str, cut: Callable[[], Iterable[list[Piece]]]) -> RowTable:
    """The table of a shard cut by `cut`, which `by` describes: read, or made and written.

    A file that was damaged is made anew. In a folder that cannot be written to nothing is kept.
    """
    key = hashlib.sha256(f"{FORMAT} {identity(shard)} {by}".encode()).hexdigest()[:16]
    path = shard.folder / FOLDER / f"{shard.split}-{key}.npy"
    found = _read(path)
    if found is None:
        found = made(cut())
        _write(path, found)
    return found


def identity(shard: TextShard) -> str:
    """Hash of all that rows are made of: text, where documents end, and their special tokens."""
    digest = hashlib.sha256(f"{shard.sha256} {shard.mark_names}".encode())
    for table in (shard.ends, shard.mark_table):
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()


def _read(path: Path) -> RowTable | None:
    try:
        whole = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if whole.dtype != np.int64 or whole.ndim != 1 or len(whole) <= SUM:
        return None
    if hashlib.sha256(whole[SUM:].data).digest() != whole[:SUM].tobytes():
        return None
    rows = int(whole[SUM])
    return RowTable(whole[SUM + 1 : SUM + 1 + rows], whole[SUM + 1 + rows :])


def _write(path: Path, table: RowTable) -> None:
    body = np.concatenate(([len(table)], table.ends, table.pieces)).astype(np.int64)
    checksum = np.frombuffer(hashlib.sha256(body.data).digest(), dtype=np.int64)
    staging = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        path.parent.mkdir(exist_ok=True)
        np.save(staging, np.concatenate((checksum, body)))
        staging.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)
