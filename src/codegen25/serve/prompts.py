"""What dialects have in common when they ask: how much to write, and after which ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from codegen25.errors import UserError
from codegen25.serve.service import Served
from codegen25.tokenizer import Tokenizer

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
