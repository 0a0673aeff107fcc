"""How well a model knows text and answers that it was not trained on."""

from __future__ import annotations

import math

import torch

from codegen25.data.shards import TextShard
from codegen25.infill import Corruption
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train import pairs
from codegen25.train.log import ANSWERS, TEXT
from codegen25.train.objective import IGNORE, losses
from codegen25.train.pairs import PairRows
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe
from codegen25.train.rows import Rows

ROWS = 64
"""Rows that are looked at."""


class HeldOut:
    """The first rows of what is held out: text, left to right, or pairs, of which answers count."""

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
            i = min(turn + world.rank, count - 1)
            x, y, _ = (torch.from_numpy(a)[None].to(self.device) for a in self.rows.arrays(i, 0))
            ones = (y != IGNORE).float()
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


def held_out(
    recipe: Recipe, shard: TextShard, tokenizer: Tokenizer, device: str
) -> dict[str, HeldOut]:
    """What of a run's data is held out, by the name of its measure: the corpus' text, and pairs."""
    found, context = {}, recipe.shape.context
    if shard.total_bytes:
        found[TEXT] = of_text(shard, tokenizer, context, device)
    kept = pairs.held_out(recipe.pairs, shard) if recipe.pairs else []
    rows = PairRows(kept, tokenizer, context)
    if len(rows):
        found[ANSWERS] = HeldOut(rows, device)
    return found
