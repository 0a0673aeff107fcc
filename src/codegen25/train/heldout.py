"""How well a model knows text and answers that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

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
"""Rows that are looked at, spread evenly: a file may be longer than the first of them."""


class HeldOut:
    """Rows of what is held out: text, left to right, or pairs, of which answers count."""

    def __init__(self, rows: Rows | PairRows, device: str) -> None:
        self.rows, self.device = rows, device

    @torch.no_grad()
    def bits_per_byte(self, model: Llama, dtype: torch.dtype, world: World | None = None) -> float:
        """Bits a byte; nothing predicts a row of text's first id, so its bytes do not count."""
        world = world or World()
        nats, size = 0.0, 0
        # Every rank takes as many, for those of a sharded model have to ask together.
        count = min(ROWS, len(self.rows))
        for turn in range(0, count, world.size):
            i = min(turn + world.rank, count - 1) * len(self.rows) // count
            x, y, _ = (torch.from_numpy(a)[None].to(self.device) for a in self.rows.arrays(i, 0))
            ones = torch.ones(y.shape, device=self.device)
            within, unpredicted = None, 0
            if isinstance(self.rows, PairRows):
                within = torch.from_numpy(self.rows.documents(i))[None].to(self.device)
            else:
                unpredicted = int(self.rows.sizes[x[0, 0]])
            with torch.autocast(torch.device(self.device).type, dtype, dtype != torch.float32):
                loss = float(losses(model, x, y, ones, 0.0, within)[1])
            if turn + world.rank < count:
                nats += loss
                size += self.rows.bytes(i) - unpredicted
        nats, total = world.sum(nats, size)
        return nats / total / math.log(2)


def of_text(shard: TextShard, tokenizer: Tokenizer, context: int, device: str) -> HeldOut:
    """Text in rows of `context`, without holes."""
    return HeldOut(Rows(shard, tokenizer, context, Corruption(rate=0.0), 0), device)


def of_pairs(
    kept: Sequence[Conversation], tokenizer: Tokenizer, context: int, device: str
) -> HeldOut | None:
    """The first of the pairs; None where no answer holds text."""
    rows = PairRows(kept, tokenizer, context, ROWS)
    return HeldOut(rows, device) if any(map(rows.bytes, range(len(rows)))) else None
