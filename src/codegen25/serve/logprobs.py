"""Log-probabilities of tokens in OpenAI's form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from codegen25.sample.request import TokenLogprobs
from codegen25.serve.spelling import bytes_of, places, spelled
from codegen25.tokenizer import Tokenizer


def legacy(
    tokens: Sequence[TokenLogprobs], tokenizer: Tokenizer, top: int, offset: int = 0
) -> dict[str, Any]:
    """`logprobs` of `/v1/completions`: lists beside each other, `top` alternatives a token.

    `offset` is the first token's place in the text, in characters.
    """
    raw = [bytes_of(token.id, tokenizer) for token in tokens]
    return {
        "tokens": [spelled(each) for each in raw],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [_top(token, tokenizer, top) for token in tokens] if top else None,
        "text_offset": [offset + place for place in places(raw)],
    }


def echoed(
    first: int, tokens: Sequence[TokenLogprobs], tokenizer: Tokenizer, top: int
) -> dict[str, Any]:
    """The same for a prompt that is echoed: nothing is known of its first id."""
    found = legacy([TokenLogprobs(first, 0.0, ()), *tokens], tokenizer, top)
    for name in ("token_logprobs", "top_logprobs"):
        if found[name] is not None:
            found[name][0] = None
    return found


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two stretches of tokens, one behind the other."""
    return {key: None if one[key] is None else [*one[key], *other[key]] for key in one}


def chat(tokens: Sequence[TokenLogprobs], tokenizer: Tokenizer, top: int) -> dict[str, Any]:
    """`logprobs` of `/v1/chat/completions`."""
    return {
        "content": [
            {
                **_entry(token.id, token.logprob, tokenizer),
                "top_logprobs": [_entry(i, value, tokenizer) for i, value in token.top[:top]],
            }
            for token in tokens
        ]
    }


def _entry(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    raw = bytes_of(token, tokenizer)
    return {"token": spelled(raw), "logprob": _finite(logprob), "bytes": list(raw)}


def _top(token: TokenLogprobs, tokenizer: Tokenizer, top: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for i, value in token.top[:top]:
        text = spelled(bytes_of(i, tokenizer))
        found[text] = max(found.get(text, -math.inf), _finite(value))
    return found


def _finite(value: float) -> float:
    """JSON has no infinity; OpenAI writes -9999 for what can't be."""
    return value if math.isfinite(value) else -9999.0
