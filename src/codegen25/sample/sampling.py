"""From logits to the next id: temperature and nucleus, with an explicit generator."""

from __future__ import annotations

import torch
from torch import Tensor

from codegen25.errors import UserError
from codegen25.sample.options import Sampling

COLD = 1e-4
"""Below this temperature only the likeliest token is left in float32."""


def generator(sampling: Sampling, index: int) -> torch.Generator:
    """The generator of answer `index` of a request: the same draws whatever is asked beside it."""
    return torch.Generator().manual_seed((sampling.seed + index * 0x9E3779B97F4A7C15) % 2**63)


def draw(logits: Tensor, sampling: Sampling, rng: torch.Generator) -> int:
    """The next id from logits (vocabulary,); NaN among them is a UserError."""
    if logits.max().isnan():
        raise UserError("the model computes no numbers (NaN): its weights are damaged")
    if sampling.temperature < COLD:
        return int(logits.argmax())
    return int(torch.multinomial(probabilities(logits, sampling), 1, generator=rng))


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities (vocabulary,) after temperature and nucleus; temperature is above 0."""
    shifted = logits.float().cpu() - logits.max().float().cpu()
    whole = torch.softmax(shifted / sampling.temperature, dim=-1)
    if sampling.top_p >= 1:
        return whole
    ordered, order = whole.sort(descending=True, stable=True)
    # An id stays if the mass before it has not yet reached top_p, so at least one stays.
    stays = ordered.cumsum(-1) - ordered < sampling.top_p
    stays[0] = True
    kept = torch.zeros_like(whole).scatter(0, order, ordered * stays)
    return kept / kept.sum()
