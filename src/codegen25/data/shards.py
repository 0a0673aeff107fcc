"""Text shards: UTF-8 documents end to end in one memory-mapped file, with their ends indexed.

A corpus is a folder: `train.text`, `train.ends.npy` (byte offset after each document),
`train.documents.jsonl` (package, path, licence), the same for `heldout`, and `corpus.json` with
counts and checksums. Text is kept, not only tokens, so that spans can be cut at characters.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codegen25.data.documents import Document
from codegen25.errors import UserError

HEADER = "corpus.json"
FORMAT = 1


def write_shard(folder: Path, split: str, documents: Sequence[Document]) -> dict[str, Any]:
    """Write one split into `folder`; its entry for the header comes back."""
    digest = hashlib.sha256()
    ends = np.zeros(len(documents), dtype=np.int64)
    end = 0
    with (folder / f"{split}.text").open("wb") as text:
        for i, document in enumerate(documents):
            raw = document.text.encode()
            text.write(raw)
            digest.update(raw)
            end += len(raw)
            ends[i] = end
    np.save(folder / f"{split}.ends.npy", ends)
    with (folder / f"{split}.documents.jsonl").open("w", encoding="utf-8") as lines:
        for document in documents:
            row = {"package": document.package, "path": document.path, "license": document.license}
            lines.write(json.dumps(row) + "\n")
    return {"documents": len(documents), "bytes": end, "sha256": digest.hexdigest()}


class TextShard:
    """One split of a corpus, read through a memory map.

    `len(shard)` documents; `shard[i]` is the text of document i.
    """

    def __init__(self, folder: Path, split: str = "train") -> None:
        header = read_header(folder)
        if split not in header["splits"]:
            raise UserError(f"{folder}: the corpus has no split {split!r}")
        entry = header["splits"][split]
        self.sha256: str = entry["sha256"]
        path = folder / f"{split}.text"
        try:
            self.ends = np.load(folder / f"{split}.ends.npy")
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: split {split!r} is incomplete ({error})") from error
        if size != entry["bytes"] or len(self.ends) != entry["documents"]:
            raise UserError(f"{path}: size differs from {HEADER}; build the corpus again")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> str:
        return self.slice(self.start(index), int(self.ends[index]))

    def start(self, index: int) -> int:
        """Byte offset of document `index`."""
        return int(self.ends[index - 1]) if index else 0

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
    if header.get("format") != FORMAT:
        raise UserError(f"{path}: corpus format {header.get('format')!r}, expected {FORMAT}")
    return header
