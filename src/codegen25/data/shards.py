"""Text shards: UTF-8 documents end to end in one memory-mapped file, with their ends indexed.

A corpus is a folder. For each split, `train` and `heldout`:

    train.text             the documents' text, nothing between them
    train.ends.npy         int64 (n,): byte offset after each document
    train.marks.npy        int64 (m, 3): document, byte offset and name (an index in the header) of
                           the special tokens that stand in documents
    train.documents.jsonl  repo, path, licence, language and stars of each document

and `corpus.json`, the header: counts, checksums, the spelling of the marks. Text is kept, not only
tokens, so that spans can be cut at characters; `tokens.py` adds token shards beside it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.data.documents import Document, Mark
from codegen25.errors import UserError
from codegen25.infill import STRUCTURE

HEADER = "corpus.json"
FORMAT = 2


class ShardWriter:
    """Writes one split into a folder, a document at a time; `entry` is its part of the header."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self._text = (folder / f"{split}.text").open("wb")
        self._rows = (folder / f"{split}.documents.jsonl").open("w", encoding="utf-8")
        self._digest = hashlib.sha256()
        self._ends: list[int] = []
        self._marks: list[tuple[int, int, int]] = []
        self._end = 0

    def add(self, document: Document) -> None:
        """Append a document."""
        raw = document.text.encode()
        for position, name in document.marks:
            offset = self._end + len(document.text[:position].encode())
            self._marks.append((len(self._ends), offset, STRUCTURE.index(name)))
        self._text.write(raw)
        self._digest.update(raw)
        self._end += len(raw)
        self._ends.append(self._end)
        row = {
            "repo": document.repo,
            "path": document.path,
            "license": document.license,
            "language": document.language,
            "stars": document.stars,
        }
        self._rows.write(json.dumps(row) + "\n")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._text.close()
        self._rows.close()
        if kind is None:
            np.save(self.folder / f"{self.split}.ends.npy", np.array(self._ends, dtype=np.int64))
            marks = np.array(self._marks, dtype=np.int64).reshape(-1, 3)
            np.save(self.folder / f"{self.split}.marks.npy", marks)

    @property
    def entry(self) -> dict[str, Any]:
        """What the header says of the split."""
        return {
            "documents": len(self._ends),
            "bytes": self._end,
            "sha256": self._digest.hexdigest(),
        }


def write_header(folder: Path, splits: dict[str, dict[str, Any]], **more: Any) -> None:
    """Write the header, last: a folder without it is no corpus."""
    header = {"format": FORMAT, "splits": splits, "marks": list(STRUCTURE), **more}
    (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n")


class TextShard:
    """One split of a corpus, read through a memory map.

    `len(shard)` documents; `shard[i]` is the text of document i.
    """

    def __init__(self, folder: Path, split: str = "train") -> None:
        self.folder, self.split = folder, split
        header = read_header(folder)
        if split not in header["splits"]:
            raise UserError(f"{folder}: the corpus has no split {split!r}")
        entry = header["splits"][split]
        self.sha256: str = entry["sha256"]
        self.mark_names: list[str] = header["marks"]
        path = folder / f"{split}.text"
        try:
            self.ends: NDArray[np.int64] = np.load(folder / f"{split}.ends.npy")
            self.mark_table: NDArray[np.int64] = np.load(folder / f"{split}.marks.npy")
            size = path.stat().st_size
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{folder}: split {split!r} is incomplete ({error})") from error
        if size != entry["bytes"] or len(self.ends) != entry["documents"]:
            raise UserError(f"{path}: size differs from {HEADER}; build the corpus again")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def verify(self) -> None:
        """Raise a UserError if the text is not what the header's checksum says; reads all of it."""
        if hashlib.sha256(self._map).hexdigest() != self.sha256:
            raise UserError(
                f"{self.folder / self.split}.text: damaged (its checksum differs from {HEADER}); "
                "build the corpus again"
            )

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> str:
        return self.slice(self.start(index), int(self.ends[index]))

    def start(self, index: int) -> int:
        """Byte offset of document `index`."""
        return int(self.ends[index - 1]) if index else 0

    def marks(self, start: int, end: int) -> list[tuple[int, str]]:
        """Special tokens in the bytes `start` to `end` of one document, as (offset from `start`,
        name). One at the very end is the document's last, not the next one's first.
        """
        document = self.document_at(start)
        first, last = np.searchsorted(self.mark_table[:, 0], (document, document + 1))
        until = end + (document < len(self.ends) and end == self.ends[document])
        return [
            (int(at) - start, self.mark_names[name])
            for _, at, name in self.mark_table[first:last]
            if start <= at < until
        ]

    def document_at(self, offset: int) -> int:
        """The document that the byte at `offset` belongs to."""
        return int(np.searchsorted(self.ends, offset, side="right"))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Where each document came from, in order."""
        with (self.folder / f"{self.split}.documents.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def document(self, index: int, row: dict[str, Any]) -> Document:
        """Document `index` with its `row` of `rows()`."""
        start, end = self.start(index), int(self.ends[index])
        raw = self.raw(start, end)
        marks: tuple[Mark, ...] = tuple(
            (len(raw[:at].decode()), name) for at, name in self.marks(start, end)
        )
        return Document(raw.decode(), marks=marks, **row)

    def slice(self, start: int, end: int) -> str:
        """The text between two byte offsets that fall on characters."""
        return self.raw(start, end).decode()

    def raw(self, start: int, end: int) -> bytes:
        """The bytes between two offsets."""
        return self._map[start:end]

    @property
    def total_bytes(self) -> int:
        """Bytes of text in the split."""
        return int(self.ends[-1]) if len(self.ends) else 0


def read_header(folder: Path) -> dict[str, Any]:
    """The corpus's header, or a UserError when `folder` holds no corpus."""
    path = folder / HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise UserError(
            f"{folder} holds no corpus ({HEADER} is missing); build one with `codegen25 data`"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON; build the corpus again") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or "splits" not in header:
        found = header.get("format") if isinstance(header, dict) else None
        raise UserError(f"{path}: corpus format {found!r}, expected {FORMAT}; build it again")
    return header
