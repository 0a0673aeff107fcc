"""Which number format the matrix products should use on this machine: measured, not assumed."""

from __future__ import annotations

import time

import torch

from codegen25.train.parallel import World


def choose(name: str, device: str) -> torch.dtype:
    """The dtype of a recipe's `dtype`; "auto" is bfloat16 where its products are clearly faster."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device != "cpu":
        return torch.bfloat16
    wide, narrow = gemm_rate(torch.float32), gemm_rate(torch.bfloat16)
    return torch.bfloat16 if narrow > 1.3 * wide else torch.float32


def agreed(name: str, device: str, world: World) -> torch.dtype:
    """What the first rank chooses, on all: a measurement comes out differently on each."""
    chosen = choose(name, device) if world.first else torch.float32
    narrow = world.of_first(float(chosen == torch.bfloat16))
    return torch.bfloat16 if narrow else torch.float32


CARDS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bfloat16 FLOP/s of NVIDIA's data sheets, by what the card's name contains."""


def peak(device: str, dtype: torch.dtype) -> float:
    """FLOP/s that matrix products could reach: a card's by its data sheet, a CPU's as measured."""
    if device != "cpu":
        name = torch.cuda.get_device_name()
        for known, rate in CARDS.items():
            if known in name:
                return rate
    return max(gemm_rate(dtype, device=device) for _ in range(2))


def gemm_rate(
    dtype: torch.dtype, size: int = 1024, seconds: float = 0.3, device: str = "cpu"
) -> float:
    """FLOP/s of square products: the best of those begun within some seconds.

    The first is a trial eight times smaller, which says enough where the format is emulated.
    """
    best = 0.0
    end = time.monotonic() + seconds
    edge = size // 2
    while time.monotonic() < end:
        a, b = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
        start = time.perf_counter()
        float(torch.mm(a, b)[0, 0])  # waits for the device
        best = max(best, 2 * edge**3 / (time.perf_counter() - start))
        edge = size
    return best
