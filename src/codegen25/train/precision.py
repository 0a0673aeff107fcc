"""Which number format the matrix products should use on this machine: measured, not assumed."""

from __future__ import annotations

import time

import torch


def choose(name: str, device: str) -> torch.dtype:
    """The dtype of a recipe's `dtype`; "auto" is bfloat16 where its products are clearly faster."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device != "cpu":
        return torch.bfloat16
    wide, narrow = gemm_rate(torch.float32), gemm_rate(torch.bfloat16)
    return torch.bfloat16 if narrow > 1.3 * wide else torch.float32


def gemm_rate(dtype: torch.dtype, size: int = 1024, seconds: float = 0.3) -> float:
    """FLOP/s of square products on the CPU: the best of those begun within some seconds.

    The first is a trial eight times smaller, which says enough where the format is emulated.
    """
    best = 0.0
    end = time.monotonic() + seconds
    edge = size // 2
    while time.monotonic() < end:
        a, b = torch.randn(edge, edge).to(dtype), torch.randn(edge, edge).to(dtype)
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * edge**3 / (time.perf_counter() - start))
        edge = size
    return best
