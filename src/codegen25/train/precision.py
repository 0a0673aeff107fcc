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
    wide, narrow = gemm_rate(torch.float32), gemm_rate(torch.bfloat16, rounds=1)
    return torch.bfloat16 if narrow > 1.3 * wide else torch.float32


def gemm_rate(dtype: torch.dtype, size: int = 512, rounds: int = 5) -> float:
    """FLOP/s of square products on the CPU: the best of some rounds, after one to warm up."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
