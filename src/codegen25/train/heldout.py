"""How well a model knows text it was not trained on."""

from __future__ import annotations

import math

import torch

from codegen25.data.shards import TextShard
from codegen25.infill import Corruption
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train.objective import losses
from codegen25.train.parallel import World
from codegen25.train.rows import Rows

ROWS = 64
"""Rows that are looked at."""


class HeldOut:
    """The first rows of a corpus' held-out text, left to right."""

    def __init__(self, shard: TextShard, tokenizer: Tokenizer, context: int, device: str) -> None:
        self.device = device
        self.rows = Rows(shard, tokenizer, context, Corruption(rate=0.0), 0)

    @torch.no_grad()
    def bits_per_byte(self, model: Llama, dtype: torch.dtype, world: World | None = None) -> float:
        """Bits a byte of text; nothing predicts a row's first id, so its bytes do not count."""
        world = world or World()
        nats, size = 0.0, 0
        # Every rank takes as many, for those of a sharded model have to ask together.
        count = min(ROWS, len(self.rows))
        for turn in range(0, count, world.size):
            i = min(turn + world.rank, count - 1)
            x, y, _ = (torch.from_numpy(a)[None].to(self.device) for a in self.rows.arrays(i, 0))
            ones = torch.ones(y.shape, device=self.device)
            with torch.autocast(torch.device(self.device).type, dtype, dtype != torch.float32):
                loss = float(losses(model, x, y, ones, 0.0)[1])
            if turn + world.rank < count:
                nats += loss
                size += self.rows.bytes(i) - int(self.rows.sizes[x[0, 0]])
        nats, total = world.sum(nats, size)
        return nats / total / math.log(2)
