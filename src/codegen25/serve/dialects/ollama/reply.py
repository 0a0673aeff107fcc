"""Answers in Ollama's form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from codegen25.sample.request import Completion
from codegen25.serve.dialects.ollama.body import Body

Shape = Callable[[str], dict[str, Any]]
"""What holds a piece of text."""


class Refusal(BaseModel):
    """What was wrong, as Ollama says it."""

    error: str


def response(text: str) -> dict[str, Any]:
    """A piece of `/api/generate`."""
    return {"response": text}


def message(text: str) -> dict[str, Any]:
    """A piece of `/api/chat`."""
    return {"message": {"role": "assistant", "content": text}}


def head(body: Body) -> dict[str, Any]:
    """What stands in every line."""
    return {"model": body.model, "created_at": datetime.now(UTC).isoformat()}


def ending(completion: Completion) -> dict[str, Any]:
    """Why an answer ended, and how long it took in nanoseconds."""
    prompt, answer = (round(1e6 * ms) for ms in (completion.prefill_ms, completion.decode_ms))
    return {
        "done": True,
        "done_reason": "length" if completion.stop_reason in ("length", "time") else "stop",
        "total_duration": prompt + answer,
        "load_duration": 0,
        "prompt_eval_count": completion.prompt_tokens,
        "prompt_eval_duration": prompt,
        "eval_count": completion.tokens,
        "eval_duration": answer,
    }
