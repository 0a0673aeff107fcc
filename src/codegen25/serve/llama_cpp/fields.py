"""A request of ours in the fields of llama.cpp's `/completion`.

Names and meanings: llama.cpp's tools/server/README.md. What differs from our engine: `presence`
and `frequency` penalties count the prompt's tokens too, and draws come from llama.cpp's generator,
so that a seed gives the same answer again but not our engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from codegen25.errors import UserError
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request
from codegen25.sample.sampling import COLD
from codegen25.serve.refusals import UnsupportedError

EVENT_FIELDS = ("content", "tokens", "stop", "stop_type", "tokens_predicted", "timings",
                "completion_probabilities")  # fmt: skip
"""What is read of the last event; without the list it repeats the prompt and all settings."""


def body(
    request: Request, ids: Sequence[int], slot: int, *, rows: int, never: Sequence[int], reuse: bool
) -> dict[str, Any]:
    """The JSON to post: `ids` go to a `slot`, whose keys and values count if `reuse`.

    `never` are ids that may not be written, `rows` how many ids there are.
    """
    asked = {
        "prompt": list(ids),
        "n_predict": request.max_tokens,
        "id_slot": slot,
        "cache_prompt": reuse,
        "stream": True,
        "return_tokens": True,
        "timings_per_token": True,
        "response_fields": list(EVENT_FIELDS),
        "repeat_last_n": len(ids) + request.max_tokens,
        **sampling_fields(request.sampling, request.key),
        "logit_bias": [
            *([token, False] for token in never),
            *bias_of(request.sampling, rows, frozenset(never)),
        ],
    }
    if request.forced and request.max_tokens:
        asked["grammar"] = beginning(request.forced.decode())
    return asked


def sampling_fields(sampling: Sampling, key: str) -> dict[str, Any]:
    """How to draw, in our order: penalties, then temperature, top-k, top-p, min-p."""
    if sampling.sure:
        raise UnsupportedError("llama.cpp can't end an answer where it is unsure; leave sure out")
    greedy = sampling.temperature < COLD
    steps = ["penalties"] if sampling.adjusts else []
    steps.append("temperature")
    if not greedy:
        narrowing = {"top_k": sampling.top_k > 0, "top_p": sampling.top_p < 1,
                     "min_p": sampling.min_p > 0}  # fmt: skip
        steps += [name for name, narrows in narrowing.items() if narrows]
    return {
        "samplers": steps,
        "temperature": 0.0 if greedy else sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "n_probs": sampling.logprobs,
        "seed": seed_of(sampling.seed, key),
    }


def seed_of(seed: int, key: str) -> int:
    """The 31 bits of a seed and an answer's key; llama.cpp takes the 32 ones for "any"."""
    digest = sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) >> 1


def bias_of(sampling: Sampling, rows: int, never: frozenset[int]) -> list[list[float]]:
    """Pairs of id and bias. An id that the model lacks is a UserError, as in `sampling.adjust`."""
    for token, _ in sampling.logit_bias:
        if token >= rows:
            raise UserError(
                f"logit-bias names the token {token}; this model's ids end at {rows - 1}"
            )
    return [[token, bias] for token, bias in sampling.logit_bias if token not in never]


def beginning(text: str) -> str:
    """The grammar (llama.cpp's grammars/README.md) of all that begins with `text`.

    It lets through, token by token, what `healing.Forced` does: whichever tokens spell the text,
    and the last of them may go on beyond it.
    """
    return f'root ::= "{"".join(map(_escaped, text))}" .*'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02X}" if code < 32 or code == 127 or character in '"\\' else character
