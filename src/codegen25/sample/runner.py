"""What the engine needs of a computer of logits, and the choice among them.

A run continues one sequence by some tokens: a chunk of a prompt, one token of an answer, or a draft
to verify. Runs of several sequences are computed at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from codegen25.config import ModelConfig


class Keys(ABC):
    """Keys and values of one sequence, with room for `capacity` tokens."""

    capacity: int

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Memory taken."""

    @abstractmethod
    def copy(self, source: Keys, length: int) -> None:
        """Take over the first `length` tokens of another sequence of the same runner."""


@dataclass(frozen=True)
class Run:
    """`ids` follow the first `start` tokens of `keys`; logits come after the last `wanted`."""

    keys: Keys
    start: int
    ids: Sequence[int]
    wanted: int = 1


class Runner(Protocol):
    """A model on a device."""

    config: ModelConfig
    kind: str
    """Number type of the weights."""
    device: str
    rows: int
    """Sequences that are worth computing at once."""
    most_bytes: int
    """All sequences' keys and values together."""

    @property
    def name(self) -> str:
        """What computes, for people: kernels, number type, device."""

    def allocate(self, capacity: int) -> Keys:
        """Room for a sequence."""

    def bytes_of(self, capacity: int) -> int:
        """What `allocate` would take."""

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        """Store the runs' keys and values; logits (sum of wanted, vocabulary) float32.

        The array is the runner's own and valid until the next call.
        """


@runtime_checkable
class Fixed(Protocol):
    """A runner that takes the memory of all sequences at once."""

    def take(self, bound: int) -> None:
        """Take it, once: about `bound` bytes, which are at most `most_bytes`."""


@runtime_checkable
class Striding(Protocol):
    """A runner that takes several greedy steps of one sequence in one call."""

    def stride(
        self, run: Run, never: np.ndarray, ends: Collection[int], most: int
    ) -> tuple[list[int], float]:
        """At most `most` ids that follow `run`, and the seconds until the first.

        Each is the likeliest but for `never` (int32) and goes in as the next step's input; one of
        `ends` is the last. Keys and values are stored of all but the last. There are fewer, or
        none, where a row of logits holds no numbers: then `forward` tells what it holds.
        """
