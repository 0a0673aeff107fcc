"""Rates with intervals. Tasks that come from one problem are not independent of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}]"


def clustered_rate(
    outcomes: Mapping[str, Sequence[bool]], rounds: int = 10_000, seed: int = 0
) -> Rate:
    """The mean over all tasks, with a bootstrap interval that redraws whole problems.

    `outcomes` maps a problem to the outcomes of its tasks.
    """
    sums = np.array([sum(values) for values in outcomes.values()], dtype=float)
    sizes = np.array([len(values) for values in outcomes.values()], dtype=float)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(sums), size=(rounds, len(sums)))
    rates = sums[draws].sum(1) / sizes[draws].sum(1)
    low, high = np.percentile(rates, (2.5, 97.5))
    return Rate(float(sums.sum() / sizes.sum()), float(low), float(high))
