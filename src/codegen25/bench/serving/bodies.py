"""What is asked: keystrokes as each server's clients send them, and questions that take long."""

from __future__ import annotations

import json

from codegen25.bench.keystrokes import Place
from codegen25.sample.engine import Engine
from codegen25.sample.session import Options, Session

NEW = 12
KEYS = 300
LONG = 280
"""Tokens of an answer that takes long, at most half of the context."""
BEFORE = 300
"""Characters that stand before it."""
MANY, TOLD = 16, 20
"""Answers, and log-probabilities of each token, that make a stream of 3 MB: a kernel takes 2.6 MB
for a connection on loopback that nobody reads."""


def typed(place: Place, *, stream: bool) -> list[bytes]:
    """Keystrokes at our server, in one session."""
    return [
        json.dumps({
            "prompt": prefix, "suffix": suffix, "max_tokens": NEW, "temperature": 0,
            "session": True, "stream": stream,
        }).encode()
        for prefix, suffix in place.keystrokes(KEYS)
    ]  # fmt: skip


def distinct(engine: Engine, place: Place, count: int) -> list[bytes]:
    """Long questions to our server that have no beginning in common: nothing of one is known from
    another. Every second answer is streamed."""
    return [_long(engine, place, i, stream=bool(i % 2)) for i in range(count)]


def large(engine: Engine, place: Place, count: int) -> list[bytes]:
    """Questions whose streamed answers are too large to be written to who does not read."""
    more = {"stream": True, "n": MANY, "logprobs": TOLD}
    return [_long(engine, place, -1 - i, **more) for i in range(count)]


def _long(engine: Engine, place: Place, number: int, **more: object) -> bytes:
    """A text to go on from that the model can't end."""
    return json.dumps({
        "prompt": f"# {number}\n{place.prefix[-BEFORE:]}",
        "max_tokens": min(LONG, engine.context // 2), "temperature": 1.0, "seed": abs(number),
        "logit_bias": {str(token): -100 for token in engine.form.ends_of_span}, **more,
    }).encode()  # fmt: skip


def plain(engine: Engine, place: Place) -> list[bytes]:
    """As every client asks llama.cpp: typing moves the suffix."""
    prompts = (engine.prompt(*each, max_tokens=NEW) for each in place.keystrokes(KEYS))
    return [_for_llama(prompt.ids) for prompt in prompts]


def anchored(engine: Engine, place: Place) -> list[bytes]:
    """As our server lays a prompt out: typing only appends."""
    session = Session(engine, Options(NEW, heal=False))
    return [_for_llama(session.request(*each).prompt.ids) for each in place.keystrokes(KEYS)]


def _for_llama(ids: list[int]) -> bytes:
    asked = {"prompt": ids, "n_predict": NEW, "temperature": 0, "cache_prompt": True}
    return json.dumps({**asked, "stream": True}).encode()
