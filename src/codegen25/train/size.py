"""One dial: from a number of parameters to a shape, a batch and rates."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from codegen25.errors import UserError

UNITS = {"k": 1e3, "m": 1e6, "b": 1e9}


@dataclass(frozen=True)
class Derived:
    """What a size stands for. `batch_tokens` a step; rates for Muon and AdamW."""

    layers: int
    hidden: int
    batch_tokens: int
    muon_lr: float
    adam_lr: float


def parameters(size: str) -> float:
    """ "14m" to 14e6; a UserError if it is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb])", size.lower())
    if not match or not float(match[1]):
        raise UserError(f"size is {size!r}; give a number and k, m or b, say 14m")
    return float(match[1]) * UNITS[match[2]]


def derive(size: str, vocab_size: int, tied: bool = True) -> Derived:
    """The shape nearest to a size over a vocabulary, and the batch and rates that suit it.

    Width over depth is near 48 at 100M parameters and below, where a step's overhead a layer
    counts, and grows to LLaMA's 128 at 7B. A batch holds 16 k tokens at 5M parameters and grows
    with the power 0.6 (1.3M at 7B); AdamW's rate falls with the root of the width (nanochat), from
    0.004 at 256, Muon's is 0.02 throughout (Jordan et al. 2024; `sqrt(a / b)` is in its update).
    """
    wanted = parameters(size)
    # 64 channels a head; from a width of 2,048 on, 128 of them, so whole heads either way.
    shapes = [
        (layers, hidden)
        for layers in range(1, 97)
        for hidden in range(64, 12_289, 64)
        if hidden < 2048 or hidden % 128 == 0
    ]
    layers, hidden = min(shapes, key=lambda shape: _distance(wanted, vocab_size, tied, *shape))
    tokens = 2 ** round(math.log2(16_384 * (wanted / 5e6) ** 0.6))
    return Derived(layers, hidden, tokens, 0.02, round(0.004 * (256 / hidden) ** 0.5, 6))


def feed_forward(hidden: int) -> int:
    """8/3 of the width, rounded up to a multiple of 64: SwiGLU at the cost of 4 · hidden."""
    return -(-hidden * 8 // 3 // 64) * 64


def _distance(wanted: float, vocab_size: int, tied: bool, layers: int, hidden: int) -> float:
    """How far a shape is from the size, most of all, and from the aspect that suits it."""
    count = layers * (4 * hidden**2 + 3 * hidden * feed_forward(hidden) + 2 * hidden)
    count += hidden * (vocab_size * (1 if tied else 2) + 1)
    aspect = 48 * max(1.0, wanted / 1e8) ** 0.23
    return 4 * abs(math.log(count / wanted)) + abs(math.log(hidden / layers / aspect))
