"""What a run needs: memory of a rank, tokens a second, days, money; for runs too large to try.

Memory is arithmetic, see `train.footprint`; of a sharded model a step is also rehearsed on fake
tensors, see `train.rehearsal`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.train import recipe as recipes
from codegen25.train.footprint import Memory, kept_activations, memory
from codegen25.train.parallel import World, share_of
from codegen25.train.rehearsal import Rehearsed, rehearse

__all__ = ["CARDS", "Card", "Cost", "Memory", "cost", "kept_activations", "memory", "run"]


@dataclass(frozen=True)
class Card:
    """A GPU: dense bfloat16 FLOP/s and bytes of memory by its data sheet, and dollars an hour.

    The price is a guess at what clouds ask for; give your own.
    """

    name: str
    flops: float
    memory: float
    price: float


CARDS = {
    card.name: card
    for card in (
        Card("h200", 989e12, 141e9, 3.5),
        Card("h100", 989e12, 80e9, 2.5),
        Card("a100", 312e12, 80e9, 1.5),
        Card("l40s", 362e12, 48e9, 1.0),
        Card("tpu-v4", 275e12, 32e9, 3.2),
    )
}


@dataclass(frozen=True)
class Cost:
    """A whole run: targets, floating point operations, seconds and dollars."""

    tokens: float
    flops: float
    tokens_per_second: float
    seconds: float
    dollars: float


def cost(
    config: ModelConfig, context: int, tokens: float, gpus: int, card: Card, mfu: float,
    price: float | None = None,
) -> Cost:  # fmt: skip
    """Time and money of `tokens` at a model FLOPs utilisation."""
    if not (gpus > 0 and 0 < mfu <= 1 and tokens > 0):
        raise UserError("gpus and tokens are above 0, mfu between 0 and 1")
    flops = config.flops_per_token(context) * tokens
    rate = gpus * card.flops * mfu
    hours = flops / rate / 3600
    dollars = hours * gpus * (card.price if price is None else price)
    return Cost(tokens, flops, rate / config.flops_per_token(context), flops / rate, dollars)


def run(
    name: str,
    overrides: dict[str, str],
    gpus: int,
    gpu: str,
    mfu: float,
    tokens: float | None,
    price: float | None,
    vocab_size: int,
    as_json: bool,
) -> None:
    """Print what a recipe needs on so many GPUs."""
    if gpu not in CARDS:
        raise UserError(f"--gpu {gpu}: one of {', '.join(CARDS)}")
    nowhere = {"corpus": "''", "tokenizer": "''"}
    recipe = recipes.load(recipes.find(name), nowhere | overrides).resolved(vocab_size, "cuda")
    if gpus < 1:
        raise UserError(f"--gpus {gpus}: at least 1")
    share_of(recipe.batch, World(0, gpus))
    config, card = recipe.shape.config(vocab_size), CARDS[gpu]
    dtype = torch.float32 if recipe.dtype == "float32" else torch.bfloat16
    need = memory(recipe, config, gpus, dtype, "cuda")
    spent = cost(config, recipe.shape.context, tokens or 20.0 * config.parameters, gpus, card, mfu,
                 price)  # fmt: skip
    rehearsed: Rehearsed | None = None
    if recipe.shard and gpus > 1:
        rehearsed = rehearse(recipe, config, gpus, dtype, "cuda")
    found = {
        "recipe": recipe.name,
        "parameters": config.parameters,
        "blocks": config.num_hidden_layers,
        "parameters of a rank": rehearsed.parameters if rehearsed else config.parameters,
        "batch, tokens": recipe.batch * recipe.shape.context,
        "memory": {**asdict(need), "total": need.total, "of": card.memory},
        "dry run": asdict(rehearsed) if rehearsed else None,
        "cost": asdict(spent),
    }
    print(json.dumps(found) if as_json else _table(found, gpus, card, mfu), end="\n" * as_json)


def _table(found: dict[str, Any], gpus: int, card: Card, mfu: float) -> str:
    need, spent = found["memory"], found["cost"]
    fits = "fits" if need["total"] < need["of"] else "does NOT fit"
    rows = [
        ("parameters", f"{found['parameters'] / 1e9:.3f} B"),
        ("of them on a rank", f"{found['parameters of a rank'] / 1e9:.3f} B"),
        ("batch", f"{found['batch, tokens']:,} tokens"),
        *(
            (f"memory of a rank: {key}", f"{need[key] / 1e9:.2f} GB")
            for key in need
            if key not in ("total", "of", "standing") and need[key]
        ),
        *(
            [("memory of a rank: in a dry run", _dry_run(found["dry run"], found["blocks"]))]
            if found["dry run"]
            else []
        ),
        ("memory of a rank: most at once", f"{need['total'] / 1e9:.2f} GB, {fits} {card.name}'s "
                                           f"{card.memory / 1e9:.0f} GB"),
        ("tokens", f"{spent['tokens']:.3g}"),
        ("floating point operations", f"{spent['flops']:.3g}"),
        (f"tokens/s on {gpus} × {card.name}, MFU {mfu:.0%}", f"{spent['tokens_per_second']:,.0f}"),
        ("days", f"{spent['seconds'] / 86_400:.2f}"),
        ("dollars", f"{spent['dollars']:,.0f}"),
    ]  # fmt: skip
    wide = max(len(name) for name, _ in rows)
    return "".join(f"{name.ljust(wide)}  {value}\n" for name, value in rows)


def _dry_run(rehearsed: dict[str, Any], blocks: int) -> str:
    """Its most bytes, and how much of the model did it."""
    some = rehearsed["blocks"]
    by = f", reckoned from {some[0]} and {some[1]} of {blocks} blocks" if len(some) > 1 else ""
    return f"{rehearsed['peak'] / 1e9:.2f} GB{by}"
