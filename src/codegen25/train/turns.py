"""A question and its answer: what instruction tuning learns from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """A question as the model reads it, and its answer."""

    prompt: str
    response: str


Conversation = tuple[Turn, ...]
