"""What all dialects say of an answer: why it ended, its tokens, its times."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from codegen25.sample.request import Completion


def head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    """What an answer of OpenAI's kind begins with: a name of its own, its kind, the model."""
    return {
        "id": f"{prefix}-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def ending(completion: Completion) -> dict[str, Any]:
    """Why an answer ended: OpenAI's word for it, and ours."""
    cut = completion.stop_reason in ("length", "time")
    return {
        "finish_reason": "length" if cut else "stop",
        "stop_reason": completion.stop_reason,
        "stop_rule": completion.rule,
    }


def usage(completions: Sequence[Completion], n: int) -> dict[str, Any]:
    """Tokens of all answers; a prompt with `n` answers counts once."""
    prompt = sum(each.prompt_tokens for each in completions) // n
    written = sum(each.tokens for each in completions)
    cached = min(prompt, sum(each.cached_tokens for each in completions) // n)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def timings(completions: Sequence[Completion]) -> dict[str, Any]:
    """Milliseconds up to the first token and from there to the last, of the slowest answer."""
    return {
        "prompt_ms": max((each.prefill_ms for each in completions), default=0.0),
        "predicted_ms": max((each.decode_ms for each in completions), default=0.0),
    }
