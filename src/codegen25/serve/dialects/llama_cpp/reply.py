"""What llama.cpp's clients read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codegen25.sample.request import Completion
from codegen25.serve.ask import Ask
from codegen25.serve.served import Served


def piece(text: str, index: int) -> dict[str, Any]:
    """A part of a streamed answer."""
    return {"index": index, "content": text, "tokens": [], "stop": False, "id_slot": -1}


def answer(served: Served, ask: Ask, completion: Completion, index: int) -> dict[str, Any]:
    """A whole answer."""
    kind = stop_type(completion)
    words = ask.stops.strings
    return {
        "index": index,
        "content": completion.text,
        "tokens": [],
        "id_slot": -1,
        "stop": True,
        "model": served.name,
        "tokens_predicted": completion.tokens,
        "tokens_evaluated": completion.prompt_tokens,
        "tokens_cached": completion.cached_tokens,
        "truncated": completion.truncated,
        "stop_type": kind,
        "stopping_word": words[0] if kind == "word" and len(words) == 1 else "",
        "stop_rule": completion.rule,
        "generation_settings": _settings(ask),
        "timings": timings(completion),
    }


def stop_type(completion: Completion) -> str:
    """Why an answer ended. Rules that llama.cpp has no word for are limits, like `n_indent`."""
    if completion.stop_reason == "end":
        return "eos"
    return "word" if completion.rule == "stop_string" else "limit"


def timings(completion: Completion) -> dict[str, Any]:
    """How long prompt and answer took."""
    computed = max(0, completion.prompt_tokens - completion.cached_tokens)
    return {
        "cache_n": completion.cached_tokens,
        **_pace("prompt", computed, completion.prefill_ms),
        **_pace("predicted", completion.tokens, completion.decode_ms),
        "draft_n": completion.drafted,
        "draft_n_accepted": completion.accepted,
    }


def _pace(name: str, tokens: int, ms: float) -> dict[str, Any]:
    return {
        f"{name}_n": tokens,
        f"{name}_ms": ms,
        f"{name}_per_token_ms": ms / max(1, tokens),
        f"{name}_per_second": 1000 * tokens / ms if ms > 0 else 0.0,
    }


def _settings(ask: Ask) -> dict[str, Any]:
    sampling = ask.sampling
    return {
        "n_predict": ask.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(ask.stops.strings),
    }


def picked(reply: Mapping[str, Any], fields: Sequence[str]) -> Mapping[str, Any]:
    """The fields that a client wants, `timings/prompt_ms` under that very name; all by default."""
    if not fields:
        return reply
    found = {}
    for path in fields:
        value: Any = reply
        for key in path.split("/"):
            value = value.get(key, ...) if isinstance(value, Mapping) else ...
        if value is not ...:
            found[path] = value
    return found
