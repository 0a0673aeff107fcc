"""What a caller may choose about sampling. No torch here: the command line reads it first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen25.errors import UserError

MAX_SAMPLES = 1000
MAX_LOGPROBS = 20
"""Alternatives that may be reported a token, as at OpenAI."""
MAX_BIAS = 100.0
MAX_BIASES = 1024
MAX_PENALTY = 2.0
MAX_REPETITION = 10.0


@dataclass(frozen=True)
class Sampling:
    """How to draw. Temperature 0 is greedy; `top_p` keeps the smallest set of that mass.

    `top_k` keeps that many ids (0: all); `min_p` drops ids less likely than that share of the
    likeliest. `repetition_penalty` is CTRL's, over prompt and answer; `presence_penalty` and
    `frequency_penalty` are OpenAI's, over the answer. `logit_bias` adds to the logits of ids, and
    `logprobs` is how many alternatives to report with a token. An answer ends before the token with
    which all of it would be less likely than `sure` (0: never), and never inside a word then: what
    is shown of a small model's guess is what it knows.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int = 0
    sure: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            raise UserError(f"temperature is {self.temperature}; it lies between 0 and 10")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}; it lies above 0 and at most 1")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}; it lies between 0 and 2^63 - 1")
        if not 0 <= self.top_k < 2**31:
            raise UserError(f"top-k is {self.top_k}; it lies between 0 (all) and 2^31 - 1")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min-p is {self.min_p}; it lies between 0 and 1")
        if not 0 <= self.sure <= 1:
            raise UserError(f"sure is {self.sure}; it lies between 0 (say everything) and 1")
        if not 0 <= self.logprobs <= MAX_LOGPROBS:
            raise UserError(f"logprobs is {self.logprobs}; it lies between 0 and {MAX_LOGPROBS}")
        self._check_penalties()
        self._check_biases()

    def _check_penalties(self) -> None:
        if not 0 < self.repetition_penalty <= MAX_REPETITION:
            raise UserError(
                f"repetition-penalty is {self.repetition_penalty}; it lies above 0 and at most "
                f"{MAX_REPETITION:g} (1 changes nothing)"
            )
        for name in ("presence", "frequency"):
            value = getattr(self, f"{name}_penalty")
            if not -MAX_PENALTY <= value <= MAX_PENALTY:
                raise UserError(
                    f"{name}-penalty is {value}; it lies between -{MAX_PENALTY:g} "
                    f"and {MAX_PENALTY:g}"
                )

    def _check_biases(self) -> None:
        if len(self.logit_bias) > MAX_BIASES:
            raise UserError(
                f"logit-bias names {len(self.logit_bias)} tokens; it takes at most {MAX_BIASES}"
            )
        named = set()
        for token, bias in self.logit_bias:
            if token < 0:
                raise UserError(f"logit-bias names the token {token}; ids begin at 0")
            if token in named:
                raise UserError(f"logit-bias names the token {token} twice; give each once")
            if not -MAX_BIAS <= bias <= MAX_BIAS:
                raise UserError(
                    f"logit-bias of token {token} is {bias}; it lies between -{MAX_BIAS:g} "
                    f"and {MAX_BIAS:g}"
                )
            named.add(token)

    @property
    def adjusts(self) -> bool:
        """Whether logits are changed before a draw, by a bias or a penalty."""
        neutral = self.repetition_penalty == 1 and not self.logit_bias
        return not (neutral and self.presence_penalty == 0 == self.frequency_penalty)


def check_samples(n: int) -> None:
    """Refuse a count of answers that is no count or would never end."""
    if not 1 <= n <= MAX_SAMPLES:
        raise UserError(f"n is {n}; it lies between 1 and {MAX_SAMPLES}")
