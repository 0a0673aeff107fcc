"""Single lines of held-out text, infilled while a model is trained: does it stop, is it right?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import torch

from codegen25.data.shards import TextShard
from codegen25.infill import Format
from codegen25.model import Llama
from codegen25.sample.engine import Engine
from codegen25.sample.torch_runner import TorchRunner
from codegen25.tokenizer import Tokenizer

HOLES, MOST = 32, 48
"""Lines that are asked for, and tokens an answer may have."""
AROUND = 1200
"""Characters shown before and after a line."""

Hole = tuple[str, str, str]
"""Prefix, middle with its newline, suffix."""


def holes(shard: TextShard, count: int = HOLES, seed: int = 0) -> list[Hole]:
    """Lines of some letters from the documents of a shard, drawn at random, the same each time."""
    rng = Random(seed)
    found: list[Hole] = []
    for _ in range(8 * count):
        text = shard[rng.randrange(len(shard))]
        lines = text.splitlines(keepends=True)
        if not lines:
            continue
        i = rng.randrange(len(lines))
        if len(found) < count and 8 <= len(lines[i].strip()) <= 80 and lines[i].endswith("\n"):
            before, after = "".join(lines[:i]), "".join(lines[i + 1 :])
            found.append((before[-AROUND:], lines[i], after[:AROUND]))
    return found


def probe(
    corpus: Path, config: Mapping[str, str] | None = None, count: int = HOLES
) -> Callable[..., dict[str, float]]:
    """What `Trainer.run` calls with a model: `stop_rate` and `exact_match` on `count`
    held-out lines."""
    shard = TextShard(corpus, "heldout")
    asked = holes(shard, count) if len(shard) else []

    @torch.no_grad()
    def look(model: Llama, tokenizer: Tokenizer) -> dict[str, float]:
        if not asked:
            return {}
        form = Format.of(tokenizer, {"infill": config} if config else None)
        engine = Engine(TorchRunner(model, rows=1), tokenizer, form, corpus)
        most = min(MOST, engine.context // 4)
        made = [engine.infill(before, after, max_tokens=most) for before, _, after in asked]
        stopped = sum(each.stop_reason == "end" for each in made)
        exact = sum(each.text == line for each, (_, line, _) in zip(made, asked, strict=True))
        return {"stop_rate": stopped / len(asked), "exact_match": exact / len(asked)}

    return look
