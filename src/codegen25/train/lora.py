"""Low-rank adapters: W + (alpha / rank) · B · A, A and B are trained (arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen25.errors import UserError
from codegen25.model import Layer, Llama

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LoraConfig:
    """Adapters of a rank on some projections of every block; rank 0 trains the weights instead."""

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = PROJECTIONS

    def __post_init__(self) -> None:
        if self.rank < 0 or not self.alpha > 0:
            raise UserError("lora: rank is at least 0 and alpha above 0")
        if not self.targets or set(self.targets) - set(PROJECTIONS):
            raise UserError(f"lora.targets: some of {', '.join(PROJECTIONS)}")


class Adapted(nn.Module):
    """A linear map with an adapter. Its weight keeps its name and stays as it is."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = linear.weight
        self.scale = alpha / rank
        down = torch.empty(rank, linear.in_features).normal_(
            0.0, linear.in_features**-0.5, generator=rng
        )
        self.lora_a = nn.Parameter(down)
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(F.linear(x, self.lora_a), self.lora_b)
        return F.linear(x, self.weight) + self.scale * low

    def merged(self) -> Tensor:
        """The weight of the linear map that does the same."""
        return self.weight + self.scale * self.lora_b @ self.lora_a


def adapt(model: Llama, config: LoraConfig, rng: torch.Generator) -> None:
    """Freeze the model and put adapters beside its projections."""
    model.requires_grad_(False)
    for layer in model.model.layers:
        assert isinstance(layer, Layer)
        for block in (layer.self_attn, layer.mlp):
            for name, child in list(block.named_children()):
                if name in config.targets:
                    assert isinstance(child, nn.Linear)
                    setattr(block, name, Adapted(child, config.rank, config.alpha, rng))


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by the names they have without adapters, adapters multiplied in."""
    state = {name: tensor for name, tensor in model.state_dict().items() if ".lora_" not in name}
    for name, module in model.named_modules():
        if isinstance(module, Adapted):
            state[f"{name}.weight"] = module.merged()
    return state
