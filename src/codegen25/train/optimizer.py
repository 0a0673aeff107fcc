"""Muon for the matrices inside the blocks, AdamW for everything else; or AdamW for all.

Muon: momentum, then an approximate orthogonalisation of the update by a quintic Newton-Schulz
iteration (Jordan et al. 2024, github.com/KellerJordan/Muon). Matrices of one shape are iterated
as one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.train.deal import deal
from codegen25.train.parallel import local


@dataclass(frozen=True)
class OptimizerConfig:
    """Rates and decays; a rate of 0 is derived from the recipe's size. Without Muon, `adam_lr` is
    the rate of every parameter.

    kind          "muon" or "adamw".
    muon_lr       for matrices; the update of an (a, b) matrix is scaled by sqrt(max(1, a / b)).
    momentum      Muon's, Nesterov's: how much of the mean gradient stays at a step.
    adam_lr       for the tied embedding and the norms (all parameters under "adamw").
    betas         AdamW's: how much of the means of gradients and of their squares stays at a step.
    weight_decay  of the matrices in the blocks, times the rate, at each step.
    clip          bound on the global gradient norm; 0 clips nothing.
    """

    kind: str = "muon"
    muon_lr: float = 0.0
    momentum: float = 0.95
    adam_lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("muon", "adamw"):
            raise UserError(f"optimizer.kind is {self.kind!r}; it is muon or adamw")
        if not all(0 <= rate < 1e3 for rate in (self.muon_lr, self.adam_lr)):
            raise UserError("optimizer: muon_lr and adam_lr are at least 0 (derived) and finite")
        if not (self.weight_decay >= 0 and self.clip >= 0):
            raise UserError("optimizer: weight_decay and clip are at least 0")
        if not all(0 <= beta < 1 for beta in (self.momentum, *self.betas)):
            raise UserError("optimizer: momentum and betas lie from 0 to below 1")


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for 2-D parameters only."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                updates = [self._momentum(p, group["momentum"]) for p in parameters]
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                made = deal(orthogonalize, updates)
                for parameter, update in zip(map(local, parameters), made, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-group["lr"] * scale)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum)


def orthogonalize(updates: Tensor, steps: int = 5) -> Tensor:
    """Each matrix of (n, a, b) moved towards the nearest orthogonal one: singular values near 1.

    bf16 on an accelerator; fp32 on a CPU, where bf16 without hardware is 100 times slower.
    """
    x = updates.bfloat16() if updates.is_cuda else updates.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, gram, x, beta=3.4445)
    return (x.mT if tall else x).to(updates.dtype)


def build(model: Llama, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of what is trained of a model; each group remembers its peak rate as `peak`.

    Norms and the embedding are never decayed. Adapters are AdamW's: they are no matrices by
    themselves.
    """
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = parameter.ndim == 2 and name.startswith("model.layers.") and ".lora_" not in name
        (matrices if inside else rest).append(parameter)
    groups: list[dict[str, Any]] = [{"params": rest, "weight_decay": 0.0}]
    optimizers: list[torch.optim.Optimizer] = []
    if config.kind == "muon" and matrices:
        optimizers.append(Muon(matrices, config.muon_lr, config.momentum, config.weight_decay))
    elif matrices:
        groups.append({"params": matrices, "weight_decay": config.weight_decay})
    fused = all(p.is_cuda or p.device.type == "cpu" for p in rest)
    optimizers.append(
        torch.optim.AdamW(groups, lr=config.adam_lr, betas=config.betas, eps=1e-10, fused=fused)
    )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers
