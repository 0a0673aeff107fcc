"""What a caller may choose about sampling. No torch here: the command line reads it first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen25.errors import UserError

MAX_SAMPLES = 1000


@dataclass(frozen=True)
class Sampling:
    """How to draw. Temperature 0 is greedy; `top_p` keeps the smallest set of that mass."""

    temperature: float = 0.0
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            raise UserError(f"temperature is {self.temperature}; it lies between 0 and 10")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}; it lies above 0 and at most 1")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}; it lies between 0 and 2^63 - 1")


def check_samples(n: int) -> None:
    """Refuse a count of answers that is no count or would never end."""
    if not 1 <= n <= MAX_SAMPLES:
        raise UserError(f"n is {n}; it lies between 1 and {MAX_SAMPLES}")
