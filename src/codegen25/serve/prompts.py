"""What is asked of a backend: how much to write, and after which ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt
from codegen25.sample.request import Priority, Request
from codegen25.serve.ask import Ask
from codegen25.serve.backend import Backend
from codegen25.serve.served import Served
from codegen25.serve.typists import front
from codegen25.tokenizer import Tokenizer

LEAST_ROOM = 32
"""Tokens that an infill's surroundings keep, however long an answer is asked for."""
INFILL_SHARE = 4
"""An infill takes at most this part of the context: clients ask without knowing how long it is,
and what stands around the cursor says more than a long answer could."""


def infill_tokens(served: Served, wanted: int | None) -> int:
    """Tokens of an infill: those wanted, or all there is room for when that is None or negative."""
    most = served.backend.context // INFILL_SHARE
    return most if wanted is None or wanted < 0 else min(wanted, most)


def room_after(served: Served, ids: Sequence[int], wanted: int | None) -> int:
    """Tokens that may follow a prompt: those wanted, or all that fit when None or negative.

    A prompt that fills the context is a UserError, unless nothing is to follow it.
    """
    room = served.backend.context - max(1, len(ids))  # an empty prompt begins with a sentinel
    if room < 0 or (room == 0 and wanted != 0):
        raise UserError(
            f"the prompt has {len(ids)} tokens; the model's context is {served.backend.context}"
        )
    return room if wanted is None or wanted < 0 else min(wanted, room)


async def encoded(served: Served, parts: Sequence[str | int]) -> tuple[int, ...]:
    """Ids of texts, every character literal, and ids, one behind the other.

    Texts that can't fit the context are refused before they are looked at.
    """
    tokenizer = served.backend.tokenizer
    length = sum(len(part) for part in parts if isinstance(part, str))
    if length > served.backend.context * tokenizer.longest_token:
        raise UserError(
            f"the prompt has {length} characters; that is too much for the model's context of "
            f"{served.backend.context} tokens"
        )
    return await asyncio.to_thread(joined, tokenizer, parts)


def joined(tokenizer: Tokenizer, parts: Sequence[str | int]) -> tuple[int, ...]:
    """Ids of texts and ids, one behind the other."""
    found: list[int] = []
    for part in parts:
        found += tokenizer.encode(part) if isinstance(part, str) else [part]
    return tuple(found)


def requests_of(backend: Backend, ask: Ask) -> list[Request]:
    """The requests of a question: `n` of them, each with draws of its own."""
    prompt = prompt_of(backend, ask)
    request = Request(
        prompt, ask.max_tokens, ask.sampling, stops=ask.stops,
        prefix=ask.prefix, suffix=ask.suffix or "", language=ask.language,
        priority=Priority.TYPING if ask.typing else Priority.BATCH, budget=ask.budget,
        owner=ask.owner,
    )  # fmt: skip
    keys = [f"{request.key}/{i}" if i else request.key for i in range(ask.n)]
    return [replace(request, key=key) for key in keys]


def prompt_of(backend: Backend, ask: Ask) -> Prompt:
    """The prompt of a question. An infill's far ends are cut to fit; what is to be continued
    from left to right, or is given as ids, is refused when it is too long."""
    room = backend.context - ask.max_tokens
    if ask.ids is not None or ask.suffix is None:
        return _continued(backend, ask, room)
    if room < LEAST_ROOM:
        raise UserError(
            f"max_tokens is {ask.max_tokens}; this model's context of {backend.context} "
            f"leaves room for {backend.context - LEAST_ROOM}"
        )
    ahead = front(ask.extra, backend.tokenizer, min(backend.context, room) // 4)
    return backend.prompt(
        ask.prefix, ask.suffix, max_tokens=max(1, ask.max_tokens), layout=ask.layout, front=ahead
    )


def _continued(backend: Backend, ask: Ask, room: int) -> Prompt:
    if len(ask.prefix) > backend.context * backend.tokenizer.longest_token:
        raise UserError(
            f"the prompt's {len(ask.prefix)} characters exceed the model's context of "
            f"{backend.context} tokens"
        )
    ids = list(ask.ids) if ask.ids is not None else backend.tokenizer.encode(ask.prefix)
    if len(ids) > room:
        raise UserError(
            f"the prompt's {len(ids)} tokens and {ask.max_tokens} to write exceed the "
            f"model's context of {backend.context}"
        )
    return Prompt(ids, backend.form.ends_of_span, Layout.CAUSAL)
