"""What all requests of llama.cpp's clients hold.

`samplers`, `id_slot` and `n_indent` change nothing here: an infill is greedy unless a temperature
is given, any slot will do, and an infill always ends where its text leaves the block at the cursor,
which is looked for in the text. An answer under a time limit ends when it is over, not at the next
newline.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from codegen25.sample.options import Sampling
from codegen25.serve import fields as f
from codegen25.serve.refused import Refused, Shaped

LEAST_SECONDS = 0.05
Milliseconds = Annotated[int, Field(ge=-1, le=3_600_000)]


def _whole(scale: float) -> float:
    if scale not in (0, 1):
        raise ValueError("an adapter is merged, and taken whole (1) or not at all (0)")
    return scale


class Adapter(f.Body):
    """An adapter to answer with, by its place behind the default model."""

    id: Annotated[int, Field(ge=0, le=1000)] = 0
    scale: Annotated[float, AfterValidator(_whole)] = 1.0


class Body(Shaped):
    """What both requests hold."""

    model: f.Name | None = None
    n_predict: Annotated[int, Field(ge=-2, le=f.MOST_TOKENS)] = -1
    temperature: f.Temperature | None = None
    top_k: f.TopK = 40
    top_p: f.TopP = 0.95
    min_p: f.Share = 0.0
    seed: f.Seed | None = None
    repeat_penalty: f.Repetition = 1.0
    presence_penalty: f.Penalty = 0.0
    frequency_penalty: f.Penalty = 0.0
    logit_bias: Refused = None
    stop: f.Stop = None
    stream: bool = False
    n_cmpl: f.Count = 1
    n_indent: Annotated[int, Field(ge=0, le=10_000)] = 0
    t_max_prompt_ms: Milliseconds = 0
    t_max_predict_ms: Milliseconds = 0
    response_fields: Annotated[f.Items[f.Name], Field(max_length=100)] = Field(default_factory=list)
    lora: Annotated[f.Items[Adapter], Field(max_length=64)] = Field(default_factory=list)

    @property
    def budget(self) -> float | None:
        """Seconds that prompt and answer may take together; None without a limit.

        Nothing to write has none: llama.vim gives 1 ms to what warms the cache, which llama.cpp
        counts from the first token on.
        """
        if self.t_max_predict_ms <= 0 or self.n_predict == 0:
            return None
        both = max(0, self.t_max_prompt_ms) + self.t_max_predict_ms
        return max(LEAST_SECONDS, both / 1000)

    def sampling(self, temperature: float, seed: int) -> Sampling:
        """How to draw, `temperature` and `seed` for want of others."""
        return Sampling(
            temperature=temperature if self.temperature is None else self.temperature,
            top_p=self.top_p, top_k=max(0, self.top_k), min_p=self.min_p,
            seed=seed if self.seed is None or self.seed < 0 else self.seed,
            repetition_penalty=self.repeat_penalty, presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )  # fmt: skip
