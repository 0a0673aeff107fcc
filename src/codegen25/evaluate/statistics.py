"""Rates with intervals. Tasks that come from one problem are not independent of each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codegen25.errors import UserError

ROUNDS = 10_000
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles of Student's t for 1, 2, … degrees of freedom."""


@dataclass(frozen=True)
class Rate:
    """A share, or another mean, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}]"


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of k answers drawn from n passes when c of the n do.

    1 - C(n-c, k) / C(n, k), as a product that does not overflow (Chen et al. 2021). With fewer
    than k answers there is no estimate: a UserError.
    """
    if not 0 <= c <= n or k < 1:
        raise ValueError(f"{c} of {n} passed, k = {k}")
    if n < k:
        raise UserError(f"pass@{k} needs {k} samples a task; there are {n}")
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def clustered(values: Sequence[tuple[str, float]], rounds: int = ROUNDS, seed: int = 0) -> Rate:
    """The mean of the tasks' values, given with their problems; the interval redraws problems."""
    return clustered_ratio([(problem, value, 1.0) for problem, value in values], rounds, seed)


def clustered_ratio(
    values: Sequence[tuple[str, float, float]], rounds: int = ROUNDS, seed: int = 0
) -> Rate:
    """A sum over another sum, (problem, above, below) a task; the interval redraws problems."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for problem, above, below in values:
        sums[problem][0] += above
        sums[problem][1] += below
    table = np.array([sums[problem] for problem in sorted(sums)])
    rng = np.random.default_rng(seed)
    redrawn = table[rng.integers(0, len(table), size=(rounds, len(table)))].sum(1)
    low, high = np.percentile(redrawn[:, 0] / redrawn[:, 1], (2.5, 97.5))
    value = table[:, 0].sum() / table[:, 1].sum()
    return Rate(float(value), float(low), float(high))


def over_seeds(values: Sequence[float]) -> Rate:
    """The mean of a measure over runs that differ in their seed, with Student's interval.

    Of one run the interval is everything; of more than ten a UserError.
    """
    n = len(values)
    if not 1 <= n <= len(_STUDENT) + 1:
        raise UserError(f"{n} seeds: intervals are for 1 to {len(_STUDENT) + 1}")
    mean = float(np.mean(values))
    half = _STUDENT[n - 2] * float(np.std(values, ddof=1)) / n**0.5 if n > 1 else math.inf
    return Rate(mean, mean - half, mean + half)


def paired(
    one: Mapping[str, float], other: Mapping[str, float], problems: Mapping[str, str]
) -> Rate:
    """How much larger the mean of `other` is, task by task; 0 outside the interval is a difference.

    Only tasks that both have are compared; `problems` names each task's problem.
    """
    common = [task for task in one if task in other]
    if not common:
        raise UserError("the two runs have no task in common; compare runs of one benchmark")
    return clustered([(problems[task], other[task] - one[task]) for task in common])
