"""What a run needs: memory of a rank, tokens a second, days, money; for runs too large to try.

Everything but the activations is arithmetic. The activations of a micro-batch are counted by
running the forward pass on fake tensors, which have shapes and no memory, and adding up what
autograd keeps.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from codegen25.checkpoint import empty_model
from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.train import recipe as recipes
from codegen25.train.deal import at_once
from codegen25.train.head import chunk_rows
from codegen25.train.objective import losses
from codegen25.train.parallel import World, share_of
from codegen25.train.recipe import Recipe

FP32, BF16 = 4, 2


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
class Memory:
    """Bytes of a rank in a step. `standing` gradients are those there when the loss is taken: the
    head's, or from the second micro-batch on all."""

    weights: float
    gradients: float
    standing: float
    optimizer: float
    gathered: float
    activations: float
    loss: float
    block: float
    muon: float

    @property
    def total(self) -> float:
        """At the fullest moment: when the loss is taken, a block computed again, or at the
        optimizer's step."""
        always = self.weights + self.optimizer
        passing = self.standing + self.gathered + self.activations + max(self.loss, self.block)
        return always + max(self.gradients + self.muon, passing)


@dataclass(frozen=True)
class Cost:
    """A whole run: targets, floating point operations, seconds and dollars."""

    tokens: float
    flops: float
    tokens_per_second: float
    seconds: float
    dollars: float


def memory(
    recipe: Recipe, config: ModelConfig, ranks: int, dtype: torch.dtype, device: str = "cpu"
) -> Memory:
    """Memory of one of `ranks` processes of a resolved recipe, at its fullest moment in a step."""
    everything = float(config.parameters)
    embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    adapters = _adapters(recipe, config)
    trained = adapters or everything
    muon = 0.0 if adapters or recipe.optimizer.kind == "adamw" else everything - embeddings
    cut = ranks if recipe.shard else 1
    block = (everything - embeddings) / config.num_hidden_layers
    head = 0.0 if adapters else float(config.vocab_size * config.hidden_size)
    narrow = dtype != torch.float32
    casts = BF16 * (everything if cut == 1 else block) if narrow else 0.0
    rows = recipe.micro_batch * recipe.shape.context
    chunk = min(rows, chunk_rows(config.vocab_size, device))
    return Memory(
        weights=FP32 * (everything + adapters) / cut,
        gradients=FP32 * trained / cut,
        standing=FP32 * (trained if recipe.batch > ranks * recipe.micro_batch else head) / cut,
        optimizer=FP32 * (2 * trained - muon + (trained if recipe.ema else 0.0)) / cut,
        # Of a sharded model the block at work and the next one are whole; autocast keeps copies.
        gathered=(FP32 * 2 * block if cut > 1 else 0.0) + casts,
        activations=kept_activations(recipe, config, dtype),
        # While the loss is taken: a chunk's logits and their gradient in fp32.
        loss=2.0 * FP32 * chunk * config.vocab_size,
        block=_block(recipe, config, dtype) if recipe.recompute else 0.0,
        muon=_muon(config, ranks) if muon else 0.0,
    )


def _muon(config: ModelConfig, ranks: int) -> float:
    """Bytes of the largest matrices, the feed-forward's, while they are orthogonalised: momentum,
    stack and result, and products of the shorter side."""
    d, f = config.hidden_size, config.intermediate_size
    matrix = torch.empty(d, f, device="meta")
    n = min(2 * config.num_hidden_layers, at_once(matrix, ranks))
    return FP32 * -(-n // ranks) * (4.0 * d * f + 2.0 * d * d)


def _block(recipe: Recipe, config: ModelConfig, dtype: torch.dtype) -> float:
    """Bytes of a block's activations when they are computed again, and of their gradients."""
    kept = replace(recipe, recompute=False)
    one, two = (kept_activations(kept, replace(config, num_hidden_layers=n), dtype) for n in (1, 2))
    rows = recipe.micro_batch * recipe.shape.context
    return two - one + float(FP32 * rows * config.intermediate_size)


def _adapters(recipe: Recipe, config: ModelConfig) -> float:
    """Parameters of the recipe's low-rank adapters."""
    d, f = config.hidden_size, config.intermediate_size
    q, kv = (config.head_dim * n for n in (config.num_attention_heads, config.num_key_value_heads))
    widths = {
        "q_proj": d + q, "k_proj": d + kv, "v_proj": d + kv, "o_proj": q + d,
        "gate_proj": d + f, "up_proj": d + f, "down_proj": f + d,
    }  # fmt: skip
    one = sum(widths[target] for target in recipe.lora.targets)
    return float(config.num_hidden_layers * recipe.lora.rank * one)


def kept_activations(recipe: Recipe, config: ModelConfig, dtype: torch.dtype) -> float:
    """Bytes autograd keeps of one micro-batch's forward pass, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter):
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode():
        model = Llama(config)
        model.model.recompute = recipe.recompute
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        shape = (recipe.micro_batch, recipe.shape.context)
        ids = torch.zeros(shape, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", dtype, dtype != torch.float32),
        ):
            losses(model, ids, ids, torch.ones(shape), recipe.objective.z_loss)
    return float(sum(size for storage, size in kept.items() if storage not in own))


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


def dry_run(config: ModelConfig, ranks: int) -> int:
    """Parameters that rank 0 of `ranks` holds of a sharded model: FSDP2 itself cuts it, over a
    process group that talks to nobody, without memory."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    from codegen25.train.parallel import shard

    if dist.is_initialized():
        raise UserError("a dry run needs a process of its own")
    dist.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
    try:
        model = empty_model(config)
        shard(model)
        return sum(p.to_local().numel() for p in model.parameters())  # type: ignore[attr-defined]
    finally:
        dist.destroy_process_group()


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
    found = {
        "recipe": recipe.name,
        "parameters": config.parameters,
        "parameters of a rank": (
            dry_run(config, gpus) if recipe.shard and gpus > 1 else config.parameters
        ),
        "batch, tokens": recipe.batch * recipe.shape.context,
        "memory": {**asdict(need), "total": need.total, "of": card.memory},
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
            if key not in ("total", "of", "standing")
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
