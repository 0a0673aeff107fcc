"""Memory and time of a large vocabulary's loss: all logits, torch's chunks, ours.

Each runs in a process of its own, forward and backward, and reports by how much its memory grew at
the fullest moment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POSITIONS, HIDDEN, VOCABULARY = 4096, 512, 51_200


def whole(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """All logits at once."""
    return F.cross_entropy(F.linear(hidden, head), targets, reduction="sum")


def chunked(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """torch's own, from 2.13 on."""
    made: Tensor = F.linear_cross_entropy(
        hidden, head, targets, reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(),
    )  # fmt: skip
    return made


def ours(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """See `train.head`; it weighs each target too."""
    from codegen25.train.head import HeadLoss

    weights = torch.ones(len(targets))
    made: Tensor = HeadLoss.apply(hidden, head, targets, weights, 0.0)[0]  # type: ignore[no-untyped-call]
    return made


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "codegen25": ours, "torch linear_cross_entropy": chunked, "all logits": whole,
}  # fmt: skip


def run_alone(name: str) -> dict[str, float]:
    """Seconds of the faster of two passes, and bytes of memory beyond those before."""
    hidden = torch.randn(POSITIONS, HIDDEN).requires_grad_()
    head = torch.randn(VOCABULARY, HIDDEN).mul_(0.02).requires_grad_()
    targets = torch.randint(VOCABULARY, (POSITIONS,))
    hidden.grad, head.grad = torch.zeros_like(hidden), torch.zeros_like(head)
    (head[:8] @ head[:8].T).sum().item()
    before = _held("VmRSS")
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        torch.autograd.backward(LOSSES[name](hidden, head, targets))
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "bytes": _held("VmHWM") - before}


def _held(key: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) * 1024


def table() -> list[dict[str, Any]]:
    """One row a way to take the loss."""
    from codegen25.bench.elsewhere import answer

    rows = []
    for name in LOSSES:
        row: dict[str, Any] = {"loss": name, "peak memory, MB": "", "seconds": ""}
        made = answer(sys.executable, __file__, name)
        if "missing" in made:
            row["seconds"] = made["missing"]
        else:
            row |= {"peak memory, MB": made["bytes"] / 1e6, "seconds": made["seconds"]}
        rows.append(row)
    return rows


if __name__ == "__main__":
    print(json.dumps(run_alone(sys.argv[1])))
