"""Memory of a rank in a step, by arithmetic; for checks before a run and for plans.

Only the activations of a micro-batch are counted by running: the forward pass of one block and of
two on fake tensors, which have shapes and no memory, adding up what autograd keeps. `rehearsal.py`
runs the whole step so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from codegen25.config import ModelConfig
from codegen25.model import Llama
from codegen25.train import lora
from codegen25.train.deal import at_once
from codegen25.train.head import chunk_rows
from codegen25.train.objective import losses
from codegen25.train.parallel import BUCKET
from codegen25.train.recipe import Recipe

FP32, BF16 = 4, 2


@dataclass(frozen=True)
class Memory:
    """Bytes of a rank in a step.

    standing     gradients that are there when the loss is taken, from the second micro-batch on.
    gathered     what FSDP made whole: embedding, head and last norm throughout, and two blocks, the
                 one at work and the next one.
    scattered    a block's gradients that FSDP is about to cut; as much is being sent meanwhile.
    root         embedding's and head's gradients and what is sent, at the backward pass' end.
    activations  kept for the gradient.
    loss         a chunk's logits and their exponentials, or the head's gradient beside them.
    block        activations that are computed again, and a gradient.
    muon         matrices and products while they are orthogonalised.
    summed       gradients being added up over replicas.
    """

    weights: float
    gradients: float
    standing: float
    optimizer: float
    gathered: float
    scattered: float
    root: float
    activations: float
    loss: float
    block: float
    muon: float
    summed: float

    @property
    def total(self) -> float:
        """At the fullest moment: when the loss is taken, in a block's backward pass, at the end of
        that, or at the optimizer's step."""
        loss = self.standing + self.gathered + self.activations + self.loss
        backward = loss - self.loss + self.scattered + max(self.scattered, self.block)
        end = self.standing + self.root
        step = self.gradients + max(self.muon, self.summed)
        return self.weights + self.optimizer + max(loss, backward, end, step)


def memory(
    recipe: Recipe, config: ModelConfig, ranks: int, dtype: torch.dtype, device: str = "cpu"
) -> Memory:
    """Memory of one of `ranks` processes of a resolved recipe, at its fullest moment in a step."""
    everything = float(config.parameters)
    head = float(config.vocab_size * config.hidden_size)
    embeddings = head * (1 if config.tie_word_embeddings else 2)
    adapters = _adapters(recipe, config)
    trained = adapters or everything
    muon = 0.0 if adapters or recipe.optimizer.kind == "adamw" else everything - embeddings
    cut = ranks if recipe.shard else 1
    block = (everything + adapters - embeddings) / config.num_hidden_layers if cut > 1 else 0.0
    root = embeddings if cut > 1 else 0.0
    of_block = adapters / config.num_hidden_layers if adapters and cut > 1 else block
    of_head = 0.0 if adapters else head
    narrow = dtype != torch.float32
    rows = recipe.micro_batch * recipe.shape.context
    chunk = float(min(rows, chunk_rows(config.vocab_size, device)) * config.vocab_size)
    again = recipe.batch > ranks * recipe.micro_batch
    activations, one = _activations(recipe, config, dtype)
    return Memory(
        weights=FP32 * (everything + adapters) / cut,
        gradients=FP32 * trained / cut,
        standing=FP32 * trained / cut if again else 0.0,
        optimizer=FP32 * (2 * trained - muon + (trained if recipe.ema else 0.0)) / cut,
        gathered=FP32 * (root + 2 * block),
        scattered=FP32 * of_block,
        root=0.0 if adapters else FP32 * 2 * root,
        activations=activations,
        loss=FP32 * (chunk + max(chunk, of_head)) + (BF16 * head if narrow else 0.0),
        block=one + float(FP32 * rows * config.intermediate_size) if recipe.recompute else 0.0,
        muon=_muon(config, ranks) if muon else 0.0,
        summed=min(FP32 * trained, BUCKET) if ranks > 1 and cut == 1 else 0.0,
    )


def _muon(config: ModelConfig, ranks: int) -> float:
    """Bytes of the largest matrices, the feed-forward's, while they are orthogonalised: momentum,
    stack and result, and products of the shorter side."""
    d, f = config.hidden_size, config.intermediate_size
    matrix = torch.empty(d, f, device="meta")
    n = min(2 * config.num_hidden_layers, at_once(matrix, ranks))
    return FP32 * -(-n // ranks) * (4.0 * d * f + 2.0 * d * d)


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


def _activations(recipe: Recipe, config: ModelConfig, dtype: torch.dtype) -> tuple[float, float]:
    """Bytes autograd keeps of a micro-batch, and those of one block that is not computed again."""
    one, two = (
        kept_activations(recipe, replace(config, num_hidden_layers=n), dtype) for n in (1, 2)
    )
    whole = one + (config.num_hidden_layers - 1) * (two - one)
    if not recipe.recompute:
        return whole, two - one
    kept = replace(recipe, recompute=False)
    first = kept_activations(kept, replace(config, num_hidden_layers=1), dtype)
    second = kept_activations(kept, replace(config, num_hidden_layers=2), dtype)
    return whole, second - first


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
        if recipe.lora.rank:
            lora.adapt(model, recipe.lora, torch.Generator())
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        shape = (recipe.micro_batch, recipe.shape.context)
        ids = torch.zeros(shape, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", dtype, dtype != torch.float32, cache_enabled=False),
        ):
            losses(model, ids, ids, torch.ones(shape), recipe.objective.z_loss)
    return float(sum(size for storage, size in kept.items() if storage not in own))
