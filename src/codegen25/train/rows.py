"""Documents concatenated and split into rows, corrupted on the fly. Order is a function.

A row is a list of pieces: byte ranges of the text shard that together fill the context, cut at
line borders, or inside a line that is longer than the row's rest. Nothing is dropped. Row i of
epoch e, and its corruption, follow from (seed, e, i).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.infill import (
    ALIAS,
    METADATA,
    Corrupted,
    Corruption,
    FimSentinels,
    Layout,
    Sentinels,
    corrupt,
    encode_corrupted,
    encode_fim,
    encode_marked,
    in_answer,
)
from codegen25.tokenizer import Tokenizer
from codegen25.train.objective import IGNORE, Objective
from codegen25.train.table import Piece, stored

_CONTINUATION = frozenset(bytes([byte]) for byte in range(0x80, 0xC0))


class _Draft(NamedTuple):
    """A piece as it was drawn: where its source starts, its spans, and the alias if it has one."""

    body: int
    corrupted: Corrupted
    alias: int | None

    def fewer(self, rng: Random) -> _Draft | None:
        """Half of the spans, the others put back; None where none would be left."""
        corrupted = _fewer(self.corrupted, rng)
        return self._replace(corrupted=corrupted) if corrupted else None


class Rows:
    """The rows of a split.

    `length` targets a row; a sixteenth of it is kept free for what corruption adds. `window` cuts
    documents into pieces of at most so many ids, each corrupted by itself; 0 cuts at rows only.
    Of the rows only a `share` is there, spread evenly over the split.
    `sizes` are the bytes of each id of the vocabulary, 0 for a special token.
    """

    def __init__(
        self,
        shard: TextShard,
        tokenizer: Tokenizer,
        length: int,
        corruption: Corruption,
        seed: int,
        window: int = 0,
        objective: Objective | None = None,
        share: float = 1.0,
    ) -> None:
        sentinels = Sentinels.of(tokenizer)
        self.objective = objective or Objective()
        fim = self.objective.kind in ("psm", "spm")
        self.fim = FimSentinels.ours(tokenizer) if fim else None
        self.alias = tokenizer.special(ALIAS)
        if sentinels is None or (fim and self.fim is None) or (corruption.alias and not self.alias):
            raise UserError("the tokenizer lacks the infill sentinels; train one of ours")
        self.shard, self.tokenizer, self.sentinels = shard, tokenizer, sentinels
        self.length, self.corruption, self.seed = length, corruption, seed
        self.sizes = _token_bytes(tokenizer)
        if not shard.total_bytes:
            raise UserError(
                f"{shard.folder}: the split {shard.split!r} holds no text; build the corpus again, "
                "of more sources"
            )
        free = length - length // 16
        lengths = (free, window or free)
        self.rows = stored(
            shard,
            f"{tokenizer.sha256} {lengths}",
            lambda: _split(shard, tokenizer, self.sizes, *lengths),
        )
        self.count = max(1, round(share * len(self.rows)))

    def __len__(self) -> int:
        return self.count

    def _pieces(self, index: int) -> list[Piece]:
        return self.rows[index * len(self.rows) // self.count]

    def bytes(self, index: int) -> int:
        """Bytes of source text in a row."""
        return sum(piece.end - piece.start for piece in self._pieces(index))

    def ids(self, index: int, epoch: int) -> list[int]:
        """Row `index` as epoch `epoch` sees it, at most `length + 1` ids."""
        ids = [i for _, part in self.corrupted(index, epoch) for i in part]
        return ids[: self.length + 1]

    def corrupted(self, index: int, epoch: int) -> Iterator[tuple[Corrupted | None, list[int]]]:
        """The pieces of a row as an epoch sees them, None for one left causal, with their ids."""
        pieces = self._pieces(index)
        shown = 0 if self.objective.frozen else epoch
        rngs = [Random(f"{self.seed}/{shown}/{index}/{k}") for k in range(len(pieces))]
        drafts = list(map(self._draft, pieces, rngs))
        parts = list(map(self._ids, drafts, pieces))
        room = self.length + 1 - sum(map(len, parts))
        if room < 0:  # most rows have room: of those the plain ids are not needed
            self._fit(pieces, rngs, drafts, parts)
        for draft, ids in zip(drafts, parts, strict=True):
            yield draft and draft.corrupted, ids

    def _fit(
        self, pieces: Sequence[Piece], rngs: Sequence[Random], drafts: list[_Draft | None],
        parts: list[list[int]],
    ) -> None:  # fmt: skip
        """Put spans back, in the pieces' order, until each leaves those after it room as plain."""
        lengths = [
            len(self._causal(piece) if draft else ids)
            for piece, draft, ids in zip(pieces, drafts, parts, strict=True)
        ]
        room = self.length + 1 - sum(lengths)
        for k, (piece, rng, plain) in enumerate(zip(pieces, rngs, lengths, strict=True)):
            while (draft := drafts[k]) and len(parts[k]) > room + plain:
                drafts[k] = draft.fewer(rng)
                parts[k] = self._ids(drafts[k], piece)
            room -= len(parts[k]) - plain

    def _causal(self, piece: Piece) -> list[int]:
        ids = self._marked(piece.start, piece.end)
        return ids + ([self.sentinels.end_of_text] if piece.final else [])

    def _marked(self, start: int, end: int) -> list[int]:
        """Ids of a range of the shard with its special tokens."""
        return encode_marked(
            self.shard.raw(start, end), self.shard.marks(start, end), self.tokenizer
        )

    def _draft(self, piece: Piece, rng: Random) -> _Draft | None:
        """What becomes of a piece that there is room for, or None for causal.

        A metadata header stays in front as it is; other records, commits say, are never corrupted.
        """
        body = None if self.objective.kind == "causal" else _body(self.shard, piece)
        if body is None:
            return None
        most = 1 if self.fim else min(self.corruption.max_spans, len(self.sentinels.masks))
        text, borders = self.shard.slice(body, piece.end), self.tokenizer.borders
        corrupted = corrupt(text, rng, self.corruption, most, borders)
        share = self.corruption.alias
        alias = self.alias if share and rng.random() < share else None
        return _Draft(body, corrupted, alias) if corrupted else None

    def _ids(self, draft: _Draft | None, piece: Piece) -> list[int]:
        if draft is None:
            return self._causal(piece)
        return self._marked(piece.start, draft.body) + self._encode(draft.corrupted, draft.alias)

    def _encode(self, corrupted: Corrupted, alias: int | None) -> list[int]:
        if self.fim is None:
            return encode_corrupted(corrupted, self.tokenizer, self.sentinels, alias)
        end, layout = self.sentinels.end_of_text, Layout(self.objective.kind)
        return encode_fim(corrupted, self.tokenizer, self.fim, end, layout)

    def arrays(
        self, index: int, epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Inputs, targets and which targets belong to answers, each (length,), of a row.

        Targets past its end are `IGNORE`.
        """
        ids = self.ids(index, epoch)
        inputs = np.full(self.length, self.sentinels.end_of_text, dtype=np.int64)
        targets = np.full(self.length, IGNORE, dtype=np.int64)
        answers = np.zeros(self.length, dtype=np.bool_)
        inputs[: len(ids) - 1] = ids[:-1]
        targets[: len(ids) - 1] = ids[1:]
        answers[: len(ids) - 1] = in_answer(ids, self.sentinels, self.alias)[1:]
        if self.objective.noise:
            self._add_noise(inputs, index, epoch)
        return inputs, targets, answers

    def _add_noise(self, inputs: NDArray[np.int64], index: int, epoch: int) -> None:
        """Put random ids of text in place of some ids of text."""
        shown = 0 if self.objective.frozen else epoch
        rng = np.random.Generator(np.random.PCG64([self.seed, shown, index]))
        chosen = (rng.random(len(inputs)) < self.objective.noise) & (self.sizes[inputs] > 0)
        inputs[chosen] = rng.choice(np.flatnonzero(self.sizes), int(chosen.sum()))


def _body(shard: TextShard, piece: Piece) -> int | None:
    """Where the source of a piece starts, after its metadata; None in a record."""
    document = shard.document_at(piece.start)
    marks = shard.marks(shard.start(document), int(shard.ends[document]))
    if not marks:
        return piece.start
    if not all(name in METADATA for _, name in marks):
        return None
    last = shard.start(document) + marks[-1][0]
    newline = shard.raw(last, piece.end).find(b"\n")
    return max(piece.start, last + newline + 1) if newline >= 0 else None


def _fewer(corrupted: Corrupted, rng: Random) -> Corrupted | None:
    """Put half of the spans, drawn at random, back into the text."""
    count = len(corrupted.spans)
    stay = set(rng.sample(range(count), count // 2))
    kept, spans = [corrupted.kept[0]], []
    for i, span in enumerate(corrupted.spans):
        if i in stay:
            spans.append(span)
            kept.append(corrupted.kept[i + 1])
        else:
            kept[-1] += span + corrupted.kept[i + 1]
    return Corrupted(tuple(kept), tuple(spans)) if spans else None


def sample_at(position: int, rows: int, seed: int, order: str) -> tuple[int, int]:
    """Epoch and row of the `position`-th sample of a run: a pure function of its arguments."""
    epoch, i = divmod(position, rows)
    return epoch, int(_permutation(rows, seed, epoch if order == "reshuffled" else 0)[i])


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(n)


def _split(
    shard: TextShard, tokenizer: Tokenizer, sizes: NDArray[np.int64], length: int, window: int
) -> Iterator[list[Piece]]:
    """Fill rows of `length` ids with documents in their order, in pieces of at most `window`."""
    row: list[Piece] = []
    room = length
    documents = iter(range(len(shard)))
    while batch := list(islice(documents, 64)):
        encodings = tokenizer.backend.encode_batch_fast(
            [shard[i] for i in batch], add_special_tokens=False
        )
        for i, encoding in zip(batch, encodings, strict=True):
            ends = _token_ends(shard, i, encoding.ids, sizes, tokenizer)
            start, taken = shard.start(i), 0
            while len(ends) - taken + 1 > min(room, window):
                size = min(room, window)
                last = min(taken + size - 1, len(ends) - 2)
                cut = _line_border(shard, start, int(ends[last])) if size > 1 else start
                if cut > start:
                    row.append(Piece(start, cut, final=False))
                    before, taken = taken, int(np.searchsorted(ends, cut, side="right"))
                    start = cut
                    room -= taken - before
                # What is left of a row is not worth a piece below a quarter of the window.
                if row and (size < window or room < window // 4):
                    yield row
                    row, room = [], length
            row.append(Piece(start, int(shard.ends[i]), final=True))
            room -= len(ends) - taken + 1
    if row:
        yield row


def _token_ends(
    shard: TextShard, i: int, plain: list[int], sizes: NDArray[np.int64], tokenizer: Tokenizer
) -> NDArray[np.int64]:
    """Byte offset after each id of document i, whose ids without its marks are `plain`."""
    start, end = shard.start(i), int(shard.ends[i])
    marks = shard.marks(start, end)
    # The spelling of a special token is no text: its size is 0.
    ids = encode_marked(shard.raw(start, end), marks, tokenizer) if marks else plain
    ends: NDArray[np.int64] = start + np.cumsum(sizes[np.array(ids, dtype=np.int64)])
    spelled = int(ends[-1]) - start if len(ends) else 0
    if spelled != end - start:
        raise UserError(
            f"{shard.folder}: the tokenizer does not fit the text; document {i} has {end - start} "
            f"bytes, its tokens spell {spelled}; take a byte-level BPE, as `codegen25 tokenizer` "
            "trains"
        )
    return ends


def _line_border(shard: TextShard, start: int, limit: int) -> int:
    """The last line border in (start, limit], or the last character border if there is none."""
    raw = shard.raw(start, limit)
    newline = raw.rfind(b"\n") + 1
    if newline:
        return start + newline
    end = limit
    while end > start and shard.raw(end, end + 1)[:1] in _CONTINUATION:
        end -= 1
    return end


def _token_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Bytes of each id of a byte-level vocabulary, whose spelling has a character a byte."""
    sizes = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for token, i in tokenizer.backend.get_vocab(with_added_tokens=False).items():
        sizes[i] = len(token)
    sizes[tokenizer.special_ids] = 0
    return sizes
