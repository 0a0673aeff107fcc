"""Weights of 8 bits for torch: half of bfloat16's memory, and half of what a step reads.

A row of a matrix shares a scale, and so does a token's vector of inputs, rounded when it comes; the
products are the device's own (int8: sums in int32; fp8, e4m3: cards from Ada on).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen25.errors import UserError
from codegen25.model import Llama

FEWEST = 32
"""cuBLAS multiplies no fewer than 17 rows of int8, and whole eights."""
DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}


def rounded(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x (…, D) in 8 bits, and each vector's scale (…, 1) in float32."""
    wide = x.float()
    scale = wide.abs().amax(-1, keepdim=True).clamp(min=1e-12) / LARGEST[dtype]
    wide = wide / scale
    return (wide.round() if dtype == torch.int8 else wide).to(dtype), scale


class QuantizedLinear(nn.Module):
    """x W^T with W (outputs, inputs) in 8 bits and a scale (outputs, 1) a row; no bias."""

    def __init__(self, outputs: int, inputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=dtype), requires_grad=False)
        self.scale = nn.Parameter(torch.empty(outputs, 1), requires_grad=False)

    @classmethod
    def of(cls, weight: Tensor, scale: Tensor) -> QuantizedLinear:
        """Of what `rounded` makes."""
        made = cls(0, 0, weight.dtype)
        made.weight.data, made.scale.data = weight, scale
        return made

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.weight.dtype
        small, scale = rounded(x.flatten(0, -2), dtype)
        out = MULTIPLY[dtype](small, self.weight) * scale * self.scale.T
        return out.to(x.dtype).view(*x.shape[:-1], -1)


def _int8(x: Tensor, weight: Tensor) -> Tensor:
    rows = max(FEWEST, -(-len(x) // 8) * 8)
    return torch._int_mm(F.pad(x, (0, 0, 0, rows - len(x))), weight.T)[: len(x)].float()


@cache
def _one(device: torch.device) -> Tensor:
    return torch.ones((), device=device)


def _fp8(x: Tensor, weight: Tensor) -> Tensor:
    # Scales of rows are applied outside: the product takes such only on Hopper.
    one = _one(x.device)
    return torch._scaled_mm(x, weight.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16).float()


MULTIPLY = {torch.int8: _int8, torch.float8_e4m3fn: _fp8}
"""x (T, inputs) by W (outputs, inputs): x W^T in float32."""


def of_blocks(name: str) -> bool:
    """Whether a tensor is a block's matrix: those are rounded, the embedding and head are not."""
    return name.endswith("_proj.weight")


def tensors(name: str, tensor: Tensor, kind: str) -> Mapping[str, Tensor]:
    """What takes a tensor's place in the state of a model that `prepare` has changed."""
    if not kind or not of_blocks(name):
        return {name: tensor}
    weight, scale = rounded(tensor, DTYPES[kind])
    return {name: weight, name.removesuffix("weight") + "scale": scale}


def prepare(model: Llama, kind: str) -> None:
    """Make every matrix of the blocks one of 8 bits, or with no `kind` none; the state is loaded
    afterwards."""
    if not kind:
        return
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and of_blocks(f"{name}.weight"):
            outputs, inputs = module.weight.shape
            if inputs % 16 or outputs % 16:
                raise UserError(
                    f"{kind} weights: {name} has the shape {outputs} x {inputs}; the products of "
                    "8 bits take multiples of 16; leave the weights out"
                )
            with torch.device(module.weight.device):
                small = QuantizedLinear(outputs, inputs, DTYPES[kind])
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, small)


def multiplies(kind: str, device: str) -> bool:
    """Whether a device has products of a kind: fp8 is for cards from Ada on."""
    old = device.startswith("cuda") and torch.cuda.get_device_capability(device) < (8, 9)
    return kind != "fp8" or not old


def require_card(kind: str, device: str) -> None:
    """Refuse a kind that a card has no products of."""
    if not multiplies(kind, device):
        raise UserError("fp8 weights need a card from Ada or Hopper on; use int8 weights")
