"""Matrices that meet the same input, as one: fewer, larger products, and inputs rounded once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codegen25.model import MLP, Attention, Llama
from codegen25.sample.quantized import QuantizedLinear


class Joined(nn.Module):
    """x (…, D) to what each of several matrices makes of it."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        weights = [part.get_parameter("weight") for part in parts]
        self.sizes = [len(weight) for weight in weights]
        whole = nn.Parameter(torch.cat([weight.data for weight in weights]), requires_grad=False)
        self.product: nn.Module
        if isinstance(parts[0], QuantizedLinear):
            self.product = QuantizedLinear.of(
                whole, torch.cat([part.get_parameter("scale").data for part in parts])
            )
        else:
            self.product = nn.Linear(1, 1, bias=False, device="meta")
            self.product.weight = whole

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out: Tensor = self.product(x)
        return torch.split(out, self.sizes, -1)


def join(model: Llama) -> Llama:
    """Join query, key and value, and gate and up, of every block, a block at a time."""
    for module in list(model.modules()):
        if isinstance(module, Attention):
            _join(module, "q_proj", "k_proj", "v_proj")
        elif isinstance(module, MLP):
            _join(module, "gate_proj", "up_proj")
    return model


def _join(block: nn.Module, *names: str) -> None:
    block.joined = Joined([block.get_submodule(name) for name in names])
    for name in names:
        setattr(block, name, None)
