"""The engine: a loaded model that infills and completes, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from codegen25 import checkpoint
from codegen25.device import choose
from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt, compose, compose_holes
from codegen25.model import Cache
from codegen25.sample.batch import Request, answer_all
from codegen25.sample.options import Sampling, check_samples
from codegen25.sample.sampling import draw, generator

DEFAULT_MAX_TOKENS = 128


@dataclass(frozen=True)
class Completion:
    """One answer. `stop_reason` is "end" when the model closed the span, "stop" when the
    request's own rule had enough, else "length".

    `tokens` counts generated ids, the end id included. Times are milliseconds: `prefill_ms` up to
    the first token, `decode_ms` for the rest.
    """

    text: str
    stop_reason: str
    tokens: int
    prompt_tokens: int
    prefill_ms: float
    decode_ms: float


@dataclass(frozen=True)
class Piece:
    """A part of a streamed answer; the last one carries the whole `completion`."""

    text: str
    completion: Completion | None = None


class Engine:
    """Samples from one model."""

    def __init__(self, loaded: checkpoint.Checkpoint, device: str = "cpu") -> None:
        self.model, self.tokenizer, self.form = loaded.model, loaded.tokenizer, loaded.form
        self.folder, self.device = loaded.folder, device
        self.context = self.model.config.max_position_embeddings
        # Rows of the embedding that no token has, and control tokens that end nothing.
        spare = range(self.tokenizer.vocab_size, self.model.config.vocab_size)
        never = {*self.tokenizer.special_ids, *spare} - self.form.ends_of_span
        self._never = torch.tensor(sorted(never), dtype=torch.long, device=device)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Engine:
        """Load a model directory."""
        chosen = choose(device)
        return cls(checkpoint.load(folder, chosen), chosen)

    def infill(
        self,
        prefix: str,
        suffix: str,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampling: Sampling | None = None,
        layout: str | None = None,
    ) -> Completion:
        """The text that belongs between `prefix` and `suffix`."""
        prompt = self.prompt(prefix, suffix, max_tokens=max_tokens, layout=layout)
        return self.answer(prompt, max_tokens, sampling or Sampling())

    def complete(
        self,
        text: str,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampling: Sampling | None = None,
    ) -> Completion:
        """What follows `text`, left to right."""
        return self.infill(text, "", max_tokens=max_tokens, sampling=sampling, layout="causal")

    def infill_holes(
        self,
        segments: Sequence[str],
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampling: Sampling | None = None,
    ) -> list[Completion]:
        """The texts that belong between neighbouring `segments`, each knowing those before it."""
        self._check_max_tokens(max_tokens)
        if len(segments) < 2:
            raise UserError(f"{len(segments)} segments: holes lie between at least two")
        completions: list[Completion] = []
        for _ in segments[1:]:
            filled = [completion.text for completion in completions]
            prompt = compose_holes(segments, filled, self.tokenizer, self.form)
            if len(prompt.ids) + max_tokens > self.context:
                raise UserError(
                    f"the text around the holes takes {len(prompt.ids)} tokens; with "
                    f"{max_tokens} to write it exceeds the model's {self.context}"
                )
            completions.append(self.answer(prompt, max_tokens, sampling or Sampling()))
        return completions

    def prompt(
        self, prefix: str, suffix: str, *, max_tokens: int, layout: str | None = None
    ) -> Prompt:
        """Compose a prompt that leaves room for `max_tokens`; far ends are cut to fit."""
        self._check_max_tokens(max_tokens)
        try:
            chosen = Layout(layout) if layout is not None else None
        except ValueError as error:
            names = ", ".join(self.form.layouts)
            raise UserError(f"layout {layout!r} is unknown; this model has {names}") from error
        if chosen is None and suffix and self.form.layouts[0] is Layout.CAUSAL:
            raise UserError(
                "this model knows no infilling (its vocabulary has no sentinels for it); ask for "
                "the causal layout to continue what stands before the cursor"
            )
        budget = self.context - max_tokens
        return compose(prefix, suffix, self.tokenizer, self.form, budget=budget, layout=chosen)

    def _check_max_tokens(self, max_tokens: int) -> None:
        most = max(1, self.context - 16)
        if not 1 <= max_tokens <= most:
            raise UserError(f"max-tokens is {max_tokens}; this model takes 1 to {most}")

    def answer(self, prompt: Prompt, max_tokens: int, sampling: Sampling) -> Completion:
        """Generate one answer to a prompt."""
        return self.answers(prompt, max_tokens, sampling, 1)[0]

    def answers(
        self, prompt: Prompt, max_tokens: int, sampling: Sampling, n: int
    ) -> list[Completion]:
        """Generate `n` answers, each with draws of its own, from one prefill."""
        check_samples(n)
        start = time.perf_counter()
        logits, cache = self.prefill(prompt, max_tokens)
        completions = []
        for index in range(n):
            *_, last = self._decode(prompt, logits, cache, max_tokens, sampling, index, start)
            assert last.completion is not None
            completions.append(last.completion)
            start = time.perf_counter()
        return completions

    def stream(self, prompt: Prompt, max_tokens: int, sampling: Sampling) -> Iterator[Piece]:
        """Generate one answer piece by piece; no piece ends inside a character."""
        start = time.perf_counter()
        logits, cache = self.prefill(prompt, max_tokens)
        yield from self._decode(prompt, logits, cache, max_tokens, sampling, 0, start)

    def answer_all(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Many answers, decoded beside each other: each request's index and answer, as they end.

        An answer depends on its request alone, not on what is asked beside it.
        """
        return answer_all(self, requests)

    def without_control(self, logits: Tensor) -> Tensor:
        """Logits (…, vocabulary) in which no token can be drawn that is neither text nor an end."""
        return logits.index_fill(-1, self._never, -torch.inf)

    @torch.inference_mode()
    def prefill(self, prompt: Prompt, max_tokens: int) -> tuple[Tensor, Cache]:
        """Logits (vocabulary,) after a prompt, and its keys and values with room for more."""
        weight = self.model.model.embed_tokens.weight
        ids = prompt.ids or [min(prompt.ends)]
        cache = Cache(self.model.config, 1, len(ids) + max_tokens, weight)
        hidden = self.model.hidden(torch.tensor([ids], device=self.device), cache)
        return self.model.lm_head(hidden[0, -1]), cache

    def _decode(
        self, prompt: Prompt, logits: Tensor, cache: Cache, max_tokens: int, sampling: Sampling,
        index: int, start: float,
    ) -> Iterator[Piece]:  # fmt: skip
        rng, text = generator(sampling, index), self.tokenizer.stream()
        shown: list[str] = []
        first = time.perf_counter()
        token, count, reason = -1, 0, "length"
        cache.length = len(prompt.ids or [0])
        while count < max_tokens:
            if count:
                logits = self._step(token, cache)
            # A control token inside an answer would be shown as text that nobody wrote.
            token = draw(self.without_control(logits), sampling, rng)
            count += 1
            if count == 1:
                first = time.perf_counter()
            if token in prompt.ends:
                reason = "end"
                break
            if piece := text.push(token):
                shown.append(piece)
                yield Piece(piece)
        # At the limit an unfinished character is nobody's text.
        rest = text.flush() if reason == "end" else ""
        end = time.perf_counter()
        completion = Completion(
            text="".join((*shown, rest)),
            stop_reason=reason,
            tokens=count,
            prompt_tokens=len(prompt.ids),
            prefill_ms=round(1000 * (first - start), 2),
            decode_ms=round(1000 * (end - first), 2),
        )
        yield Piece(rest, completion)

    @torch.inference_mode()
    def _step(self, token: int, cache: Cache) -> Tensor:
        logits: Tensor = self.model(torch.tensor([[token]], device=self.device), cache)
        return logits[0, -1]
