"""The last product and the cross-entropy in one, some rows at a time.

Logits, positions times vocabulary, are the largest tensor of a small model's step. Here those of a
few rows exist at a time, few enough for a CPU's cache, and their gradient is taken at once: nothing
is kept for the backward pass but the two results, and no product is computed twice (as Liger
kernels' fused linear cross-entropy does it, arXiv 2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100
"""The target that carries no loss."""
CHUNK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 28}
"""Logits in fp32 that are held at a time."""
LEAST_ROWS = 256
"""Fewer would make the products slow."""


def chunk_rows(vocabulary: int, device: str) -> int:
    """How many positions are taken at a time."""
    most = CHUNK_BYTES.get(device, CHUNK_BYTES["cuda"])
    return max(LEAST_ROWS, most // (4 * vocabulary))


class HeadLoss(torch.autograd.Function):
    """Summed cross-entropy of hidden (N, D) under a head (V, D): weighted and not, (2,).

    `targets` and `weights` are (N,). `z_loss` times the squared logarithm of the softmax's
    denominator is added to the weighted sum, which alone has a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, z_loss: float
    ) -> Tensor:
        kind = hidden.device.type
        narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        matrix, rows = head.to(narrow), chunk_rows(len(head), kind)
        sums = hidden.new_zeros(2, dtype=torch.float32)
        wanted, of_head_wanted = any(ctx.needs_input_grad), ctx.needs_input_grad[1]
        of_hidden, of_head = [], torch.zeros_like(head) if of_head_wanted else None
        parts = (torch.split(each, rows) for each in (hidden.to(narrow), targets, weights))
        for x, y, w in zip(*parts, strict=True):
            loss, slope = _cross_entropy(F.linear(x, matrix).float(), y, w, z_loss)
            sums = sums + loss
            if wanted:
                slope = slope.to(narrow)
                of_hidden.append((slope @ matrix).to(hidden.dtype))
            if of_head is not None:
                of_head += slope.T @ x
            del slope  # or the next rows' logits would stand beside it
        ctx.save_for_backward(torch.cat(of_hidden) if wanted else None, of_head)
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden, of_head = ctx.saved_tensors
        of_head = of_head * gradient[0] if of_head is not None else None
        return of_hidden * gradient[0], of_head, None, None, None


def _cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, z_loss: float
) -> tuple[Tensor, Tensor]:
    """The two sums, and the first one's slope along the logits (rows, V)."""
    bottom = logits.logsumexp(-1)
    real = targets != IGNORE
    wanted = torch.where(real, targets, 0)
    each = (bottom - logits.gather(-1, wanted[:, None])[:, 0]) * real
    weighted = torch.dot(each, weights)
    scale = weights
    if z_loss:
        weighted = weighted + z_loss * torch.dot(bottom.square(), weights)
        scale = weights * (1 + 2 * z_loss * bottom)
    slope = logits.sub_(bottom[:, None]).exp_().mul_(scale[:, None])
    slope.scatter_add_(-1, wanted[:, None], -(weights * real)[:, None])
    return torch.stack((weighted, each.sum())), slope
