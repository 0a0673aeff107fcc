"""What the machine could do at best, measured: products a second and bytes a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen25.config import ModelConfig
from codegen25.sample.native.build import MissingError
from codegen25.sample.native.library import pack, product

if TYPE_CHECKING:
    import torch

SIDE, SMALL = 2048, 512
"""Sides of the products; what is emulated takes minutes at the larger one, and is no faster."""
ARRAY = 1 << 29


@dataclass(frozen=True)
class Roofline:
    """Operations a second of matrix products by number type, and bytes a second read."""

    float32: float
    bfloat16: float
    int8: float
    kernels: float
    bandwidth: float

    @property
    def products(self) -> float:
        """The best rate that any library here reaches, ours included."""
        return max(self.float32, self.bfloat16, self.int8, self.kernels)

    def row(self) -> dict[str, float]:
        """For a table, in billions."""
        return {
            "float32 product, GFLOP/s": self.float32 / 1e9,
            "bfloat16, GFLOP/s": self.bfloat16 / 1e9,
            "int8 (torch), GOP/s": self.int8 / 1e9,
            "int8 (ours), GOP/s": self.kernels / 1e9,
            "reading, GB/s": self.bandwidth / 1e9,
        }

    def prefill(self, config: ModelConfig, tokens: int, batch: int) -> float:
        """Seconds of a prompt: matrices and causal attention at the best rate."""
        work = 2.0 * block_weights(config) * tokens + attention(config, tokens)
        return batch * work / self.products

    def step(self, config: ModelConfig, tokens: int, batch: int) -> float:
        """Seconds of one more token a sequence: all weights once, in int8."""
        weights = block_weights(config) + config.vocab_size * config.hidden_size
        return (weights + key_bytes(config, tokens, batch)) / self.bandwidth


def block_weights(config: ModelConfig) -> int:
    """Weights of all but embedding and head."""
    head = config.vocab_size * config.hidden_size
    return config.parameters - head * (1 if config.tie_word_embeddings else 2)


def attention(config: ModelConfig, tokens: int) -> float:
    """Operations of causal attention over a prompt."""
    width = config.num_attention_heads * config.head_dim
    return 2.0 * config.num_hidden_layers * width * tokens * tokens


def key_bytes(config: ModelConfig, tokens: int, batch: int) -> float:
    """What a step reads of keys and values, in 16 bits."""
    width = config.num_key_value_heads * config.head_dim
    return 4.0 * config.num_hidden_layers * width * tokens * batch


def measure(threads: int, rounds: int = 5) -> Roofline:
    """The best of a few rounds of each."""
    import torch

    torch.set_num_threads(threads)
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(SIDE, SIDE, generator=rng) for _ in range(2))
    half = (a.bfloat16(), b.bfloat16())
    whole = tuple((10 * each).to(torch.int8) for each in (a, b))

    def rate(side: int, pair: Sequence[torch.Tensor], product: Callable[..., object]) -> float:
        parts = [each[:side, :side].contiguous() for each in pair]
        return 2.0 * side**3 / best(lambda: product(*parts), rounds)

    work = 2.0 * SIDE**3
    float32 = rate(SIDE, (a, b), torch.matmul)

    def rival(pair: Sequence[torch.Tensor], product: Callable[..., object]) -> float:
        small = rate(SMALL, pair, product)
        return small if small < float32 / 4 else rate(SIDE, pair, product)

    array = torch.ones(ARRAY // 4, dtype=torch.float32)
    return Roofline(
        float32=float32,
        bfloat16=rival(half, torch.matmul),
        int8=rival(whole, torch._int_mm),
        kernels=_kernels(a.numpy(), threads, work, rounds),
        bandwidth=ARRAY / best(lambda: array.sum(), rounds),
    )


def _kernels(a: np.ndarray, threads: int, work: float, rounds: int) -> float:
    try:
        packed = pack([a], "int8", threads)
        return work / best(lambda: product(packed, a, threads), rounds)
    except MissingError:
        return 0.0


def best(
    run: Callable[[], object], rounds: int, wait: Callable[[], object] = lambda: None
) -> float:
    """The least seconds of a few rounds, the first not counted; `wait` is for the device."""
    seconds = []
    for _ in range(rounds + 1):
        wait()
        start = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
