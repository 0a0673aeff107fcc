"""A draft model: a second, smaller one of the same vocabulary guesses where look-up finds nothing.

Its drafts are greedy and verified as those of look-up are (`drafting`), so they change no answer,
greedy or sampled. Unlike a look-up it takes time, which counts: a pass takes what drafting for it
took as well, and reading a text that it does not know yet has to be worth it.

It holds no answer's memory. What it knows stands in a cache of its own, of one context at most; a
draft begins from what that holds of the text, whoever's it was of the same owner, and leaves it to
be overwritten. So nothing has to be given back where an answer ends, is cancelled or gives way.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample.cache import Cache, Slot
from codegen25.sample.drafting import Gate
from codegen25.sample.request import Request
from codegen25.sample.runner import Fixed, Run, Runner, Striding
from codegen25.tokenizer import Tokenizer

FEW = 16
"""Reading so many tokens is a part of drafting; more is catching up, and judged by itself."""


class ModelGate(Gate):
    """A gate of drafts for which a text has to be read first, all of it."""

    OFTEN, PROBE_SHARE = 1.0, 0.05


class DraftModel:
    """Drafts for one answer at a time.

    `known` is one more than the highest id of the larger model's vocabulary, `never` are ids that
    the larger model does not draw.
    """

    def __init__(self, runner: Runner, never: Iterable[int], known: int, most: int) -> None:
        self._runner, self._context = runner, runner.config.max_position_embeddings
        size = runner.config.vocab_size
        barred = {*(i for i in never if i < size), *range(known, size)}
        self._never = np.array(sorted(barred), np.int32)
        self.bytes = runner.bytes_of(self._context)
        """What its keys and values take at most."""
        if isinstance(runner, Fixed):
            runner.take(self.bytes)
        self.cache = Cache(runner, self.bytes)
        self.gate = ModelGate(most)
        self._token_ms = 0.0

    def width(self, length: int, left: int) -> int:
        """How many ids to draft now behind a text of `length`, of `left`: below 1 where that does
        not pay or this model's context ends. Asking counts, see `Gate.width`."""
        return min(self.gate.width(), left, self._context - length)

    def draft(
        self, text: Sequence[int], request: Request, left: int, width: int, room: int
    ) -> list[int]:
        """At most `width` ids that may follow a request's prompt and answer so far, `text`, where
        `left` may still be written.

        [] where the text holds an id that this model lacks, and after reading a part, at most
        `room` tokens, of what is new to it.
        """
        ids = np.array(text, np.int32)
        if ids.max() >= self._runner.config.vocab_size:
            return []
        behind = len(text) - self.cache.longest(ids, request.owner)
        if behind > FEW and not self.gate.affords(left, behind * self._token_ms):
            return []
        with self._slot(ids, len(text) + width, request.owner) as slot:
            if behind > FEW:
                self._read(slot, text[slot.length : -1][:room])
                return []
            return self._follow(slot, text[slot.length :], request.prompt.ends, width)

    @contextmanager
    def _slot(self, ids: np.ndarray, capacity: int, owner: str) -> Iterator[Slot]:
        slot = self.cache.acquire(ids, capacity, owner)
        assert slot is not None  # no other is in use, and one context fits
        try:
            yield slot
        finally:
            self.cache.release(slot)

    def _read(self, slot: Slot, ids: Sequence[int]) -> None:
        begun = time.perf_counter()
        self._runner.forward([Run(slot.keys, slot.length, ids, 0)])
        slot.extend(ids)
        ms = 1000 * (time.perf_counter() - begun) / len(ids)
        # One slow reading may not put an end to all others.
        self._token_ms = min(ms, 1.1 * self._token_ms) if self._token_ms else ms

    def _follow(
        self, slot: Slot, pending: Sequence[int], ends: Collection[int], most: int
    ) -> list[int]:
        """The likeliest ids after `pending`, which follow what the slot holds."""
        run = Run(slot.keys, slot.length, pending)
        if isinstance(self._runner, Striding):
            ids, _ = self._runner.stride(run, self._never, ends, most)
        else:
            ids = self._steps(run, ends, most)
        if not ids:
            raise ArithmeticError("the draft model's logits are no numbers")
        slot.extend([*pending, *ids[:-1]])
        return ids

    def _steps(self, run: Run, ends: Collection[int], most: int) -> list[int]:
        ids: list[int] = []
        while len(ids) < most and not (ids and ids[-1] in ends):
            logits = self._runner.forward([run])[0]
            logits[self._never] = -np.inf
            ids.append(int(logits.argmax()))
            run = Run(run.keys, run.start + len(run.ids), ids[-1:])
        return ids


def directory_of(folder: Path, tokenizer: Tokenizer) -> Directory:
    """A draft model's directory; a UserError if an id of the larger model's is not the same."""
    directory = Directory.read(folder)
    own, theirs = (_spellings(each) for each in (directory.tokenizer, tokenizer))
    if differing := [i for i, token in sorted(theirs.items()) if own.get(i) != token]:
        first = differing[0]
        raise UserError(
            f"{folder}: drafts with another tokenizer, {len(differing)} ids differ (id {first} is "
            f"{own.get(first)!r}, not {theirs[first]!r}); choose a draft model of the same one"
        )
    return directory


def _spellings(tokenizer: Tokenizer) -> dict[int, str]:
    vocabulary = tokenizer.backend.get_vocab(with_added_tokens=True)
    return {i: token for token, i in vocabulary.items()}
