"""How Ollama's clients want an answer to be drawn.

Greedy unless a temperature is given. Then a seed is drawn for want of one; an infill's is 0, for
somebody's keystrokes draw alike.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from codegen25.sample.options import Sampling
from codegen25.serve import fields as f


class Options(f.Body):
    """How to answer."""

    num_predict: Annotated[int, Field(ge=-2, le=f.MOST_TOKENS)] = -1
    temperature: f.Temperature = 0.0
    top_p: f.TopP = 0.9
    top_k: f.TopK = 40
    min_p: f.Share = 0.0
    seed: f.Seed | None = None
    stop: f.Stop = None
    repeat_penalty: f.Repetition = 1.0
    presence_penalty: f.Penalty = 0.0
    frequency_penalty: f.Penalty = 0.0

    def sampling(self, *, typing: bool = False) -> Sampling:
        """How to draw."""
        seed = max(0, self.seed or 0) if typing else f.seed_of(self.seed)
        return Sampling(
            self.temperature, self.top_p, seed, max(0, self.top_k), self.min_p,
            self.repeat_penalty, self.presence_penalty, self.frequency_penalty,
        )  # fmt: skip
