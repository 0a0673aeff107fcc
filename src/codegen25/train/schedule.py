"""Learning-rate schedules as pure functions of the step: a factor on the peak rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen25.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then one of three.

    cosine    down to `final` over `horizon` times the budget: with a horizon above one the rate is
              still high when training ends, as in CodeGen2.5 (its horizon was "much larger").
    wsd       stays at the peak, then falls linearly to `final` over the last `cooldown` of steps.
    constant  stays at the peak: to be cooled down by another run that starts from it.

    warmup    steps until the peak is reached, from the first step's 1 / warmup.
    horizon   of the cosine, in budgets.
    cooldown  share of the steps over which "wsd" falls.
    final     factor that "cosine" and "wsd" end at.
    """

    kind: str = "wsd"
    warmup: int = 100
    horizon: float = 4.0
    cooldown: float = 0.4
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "wsd", "constant"):
            raise UserError(f"schedule.kind is {self.kind!r}; it is cosine, wsd or constant")
        if not 0 <= self.final <= 1:
            raise UserError("schedule: final lies between 0 and 1")
        if self.warmup < 0 or not self.horizon >= 1 or not (0 <= self.cooldown <= 1):
            raise UserError("schedule: warmup >= 0, horizon >= 1, cooldown between 0 and 1")

    def factor(self, step: int, steps: int) -> float:
        """The factor at `step` (from 0) of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.kind == "constant":
            return 1.0
        if self.kind == "cosine":
            decay = max(1.0, self.horizon * steps - self.warmup)
            progress = min(1.0, (step - self.warmup) / decay)
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
        left = (steps - step) / max(1.0, self.cooldown * steps)
        return self.final + (1 - self.final) * min(1.0, left)


def average_decay(ema: float, updates: int) -> float:
    """How much of an average of the weights stays at an update that `updates` came before.

    `ema` in the long run. At first less, or the random weights at the start would be remembered for
    1 / (1 - ema) steps: min(ema, (1 + t) / (10 + t)), as TensorFlow's ExponentialMovingAverage has
    it of `num_updates`.
    """
    return min(ema, (1 + updates) / (10 + updates))
