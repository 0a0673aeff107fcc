"""How well a model knows text and answers that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codegen25.data.shards import TextShard
from codegen25.infill import Corruption
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train.objective import losses
from codegen25.train.pairs import PairRows
from codegen25.train.parallel import World
from codegen25.train.rows import Rows
from codegen25.train.turns import Conversation

ROWS = 256
"""Rows that are looked at, spread evenly: the first ones may all lie in one file."""
TOKENS = 4096
"""Read at once."""


class HeldOut:
    """Rows of what is held out: text, left to right, or pairs, of which answers count."""

    def __init__(self, rows: Rows | PairRows, device: str) -> None:
        self.rows, self.device = rows, device
        self._made: dict[tuple[int, ...], tuple[Tensor, ...]] = {}
        """Rows that were asked before: tokenising takes longer than a GPU's look at them."""

    @torch.no_grad()
    def bits_per_byte(self, model: Llama, dtype: torch.dtype, world: World | None = None) -> float:
        """Bits a byte; nothing predicts a row of text's first id, so its bytes do not count."""
        world = world or World()
        nats, size, count = 0.0, 0, min(ROWS, len(self.rows))
        several = max(1, TOKENS // self.rows.length)
        # Every rank takes as many, for those of a sharded model have to ask together.
        for turn in range(0, count, several * world.size):
            first = turn + several * world.rank
            mine = range(first, min(first + several, count))
            rows = [i * len(self.rows) // count for i in mine or [count - 1]]
            loss, read = self._asked(model, dtype, rows)
            if mine:
                nats += loss
                size += read
        nats, total = world.sum(nats, size)
        return nats / total / math.log(2)

    def _asked(self, model: Llama, dtype: torch.dtype, rows: Sequence[int]) -> tuple[float, int]:
        """Nats of some rows in one pass, and the bytes that were predicted."""
        x, y = (each.to(self.device) for each in self._arrays(tuple(rows)))
        within, size = None, sum(map(self.rows.bytes, rows))
        if isinstance(self.rows, PairRows):
            documents = np.stack([self.rows.documents(i) for i in rows])
            within = torch.from_numpy(documents).to(self.device)
        else:
            size -= int(self.rows.sizes[x[:, 0].cpu()].sum())
        ones = torch.ones(y.shape, device=self.device)
        with torch.autocast(torch.device(self.device).type, dtype, dtype != torch.float32):
            return float(losses(model, x, y, ones, 0.0, within)[1]), size

    def _arrays(self, rows: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Inputs and targets of some rows."""
        if rows not in self._made:
            made = zip(*(self.rows.arrays(i, 0)[:2] for i in rows), strict=True)
            self._made[rows] = tuple(torch.from_numpy(np.stack(each)) for each in made)
        return self._made[rows]


def of_text(shard: TextShard, tokenizer: Tokenizer, context: int, device: str) -> HeldOut:
    """Text in rows of `context`, without holes."""
    return HeldOut(Rows(shard, tokenizer, context, Corruption(rate=0.0), 0), device)


def of_pairs(
    kept: Sequence[Conversation], tokenizer: Tokenizer, context: int, device: str
) -> HeldOut | None:
    """The first of the pairs; None where no answer holds text."""
    rows = PairRows(kept, tokenizer, context, ROWS)
    return HeldOut(rows, device) if any(map(rows.bytes, range(len(rows)))) else None
