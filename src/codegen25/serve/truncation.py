"""Whether what stands around a cursor was cut to fit the context, and the answers of which it is
true: llama.cpp's clients are told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from codegen25.infill import Layout, Prompt
from codegen25.sample.request import Completion
from codegen25.tokenizer import Tokenizer


@dataclass(frozen=True)
class Truncated(Completion):
    """An answer to a prompt that was cut."""

    @classmethod
    def of(cls, completion: Completion) -> Truncated:
        """The same answer, marked."""
        return cls(**{each.name: getattr(completion, each.name) for each in fields(completion)})


def is_cut(
    prompt: Prompt, prefix: str, suffix: str, front: Collection[int], tokenizer: Tokenizer
) -> bool:
    """Whether a prompt holds less than all of `prefix` and `suffix`; it begins with `front`."""
    if prompt.layout is Layout.CAUSAL:
        suffix = ""
    return len(_text(prompt.ids[len(front) :], tokenizer)) < len(prefix) + len(suffix)


def _text(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    marks = set(tokenizer.special_ids)
    return tokenizer.decode([each for each in ids if each not in marks])
