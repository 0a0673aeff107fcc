"""Token shards: the ids of a text shard, memory-mapped, with document ends indexed.

Beside `train.text` stand `train.tokens.bin`, little-endian uint16 where the vocabulary allows and
uint32 elsewhere, every document closed by `<|endoftext|>`, and `train.token_ends.npy`, int64 (n,),
the number of ids up to the end of each document. The header's `tokens` names their dtype, counts,
checksums and the tokenizer's hash.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.data.shards import TextShard, read_header
from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT, encode_marked
from codegen25.tokenizer import Tokenizer

CHUNK_BYTES = 4 << 20
"""Text that one task tokenises."""
Array = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class Chunk:
    """A task: documents `first` to `last` of a split, their ids written to `out`."""

    corpus: str
    split: str
    tokenizer: str
    first: int
    last: int
    out: str

    def run(self) -> str:
        """Write the chunk's ids and document lengths; a finished file is taken as it is."""
        out = Path(self.out)
        if not out.exists():
            ids, lengths = _encode(
                TextShard(Path(self.corpus), self.split),
                Tokenizer.load(Path(self.tokenizer)),
                range(self.first, self.last),
            )
            staging = out.with_suffix(f".{os.getpid()}.npz")
            np.savez(staging, ids=ids, lengths=lengths)
            staging.rename(out)
        return self.out


def chunks(
    corpus: Path, split: str, tokenizer: Path, work: Path, tokenizer_sha256: str
) -> list[Chunk]:
    """Tasks of about `CHUNK_BYTES` that together cover a split.

    Their files go to `work`, named by text and tokenizer, so that a run that goes on finds them.
    """
    shard = TextShard(corpus, split)
    tasks, first = [], 0
    for i in range(len(shard)):
        if int(shard.ends[i]) - shard.start(first) >= CHUNK_BYTES or i + 1 == len(shard):
            made_from = f"{shard.sha256[:12]}-{tokenizer_sha256[:12]}"
            name = f"{split}-{first:09}-{i + 1:09}-{made_from}.npz"
            tasks.append(Chunk(str(corpus), split, str(tokenizer), first, i + 1, str(work / name)))
            first = i + 1
    return tasks


def _encode(
    shard: TextShard, tokenizer: Tokenizer, documents: range
) -> tuple[Array, NDArray[np.int64]]:
    end = tokenizer.special(END_OF_TEXT)
    if end is None:
        raise UserError(f"the tokenizer lacks {END_OF_TEXT}; train one of ours")
    dtype = id_dtype(tokenizer)
    encoded = tokenizer.backend.encode_batch_fast(
        [shard[i] for i in documents], add_special_tokens=False
    )
    arrays = []
    for i, plain in zip(documents, encoded, strict=True):
        document = (shard.start(i), int(shard.ends[i]))
        marks = shard.marks(*document)
        ids = plain.ids
        if marks:
            ids = encode_marked(shard.raw(*document), marks, tokenizer)
        arrays.append(np.array([*ids, end], dtype=dtype))
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    return np.concatenate(arrays), lengths


def id_dtype(tokenizer: Tokenizer) -> type[np.uint16] | type[np.uint32]:
    """The narrowest type that holds every id."""
    return np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32


def join(parts: Iterable[str], folder: Path, split: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Put the files of `Chunk.run` together in `folder`; the split's entry for the header."""
    digest = hashlib.sha256()
    ends: list[NDArray[np.int64]] = []
    total = 0
    with (folder / f"{split}.tokens.bin").open("wb") as out:
        for part in parts:
            with np.load(part) as arrays:
                raw = arrays["ids"].astype("<" + np.dtype(id_dtype(tokenizer)).str[1:]).tobytes()
                ends.append(total + np.cumsum(arrays["lengths"]))
                total = int(ends[-1][-1])
            out.write(raw)
            digest.update(raw)
    np.save(folder / f"{split}.token_ends.npy", np.concatenate([*ends, np.zeros(0, np.int64)]))
    return {"tokens": total, "sha256": digest.hexdigest()}


class TokenShard:
    """The ids of one split, read through a memory map: `shard[i]` is document i."""

    def __init__(self, folder: Path, split: str, tokenizer: Tokenizer) -> None:
        entry = read_header(folder).get("tokens")
        if not entry or split not in entry["splits"]:
            raise UserError(f"{folder} holds no tokens of {split!r}; give --tokenizer to `data`")
        if entry["tokenizer_sha256"] != tokenizer.sha256:
            raise UserError(f"{folder}: its tokens are of another tokenizer")
        path = folder / f"{split}.tokens.bin"
        try:
            self.ends: NDArray[np.int64] = np.load(folder / f"{split}.token_ends.npy")
            self.ids = np.memmap(path, dtype=entry["dtype"], mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{folder}: tokens of {split!r} are incomplete ({error})") from error
        if len(self.ids) != entry["splits"][split]["tokens"]:
            raise UserError(f"{path}: size differs from the header; build the corpus again")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> NDArray[Any]:
        start = int(self.ends[index - 1]) if index else 0
        return self.ids[start : int(self.ends[index])]
