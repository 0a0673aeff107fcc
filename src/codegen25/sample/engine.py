"""The engine: a loaded model that infills and completes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from codegen25 import memory
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.infill import Format, Prompt, compose_holes
from codegen25.sample.admission import PATIENCE
from codegen25.sample.answer import require_ids
from codegen25.sample.cache import Cache
from codegen25.sample.draft_model import DraftModel, directory_of
from codegen25.sample.load import runner_for
from codegen25.sample.loop import Loop
from codegen25.sample.options import Sampling, check_samples
from codegen25.sample.prompting import fitting, require_room
from codegen25.sample.request import (
    DEFAULT_MAX_TOKENS,
    Completion,
    Handle,
    Piece,
    Request,
    TokenLogprobs,
)
from codegen25.sample.runner import Fixed, Keys, Run, Runner
from codegen25.sample.sampling import logprobs
from codegen25.sample.scheduler import MOST_DRAFT, Scheduler
from codegen25.tokenizer import Tokenizer

CACHE_SHARE, MOST_CACHE = 0.25, 1 << 30
"""Keys and values take at most this share of a CPU's free memory and at most so many bytes."""
SCORED = 64
"""Ids that are scored in one pass; others may ask between two."""


@dataclass(frozen=True)
class Settings:
    """How an engine computes.

    `kind` is the number type of the weights: int8, int4 or float32 by our kernels, int8 or fp8 by
    torch on a GPU; "auto" takes int8 on a CPU and what is stored elsewhere. `threads` 0 is all;
    `cache_mb`, the memory for keys and values, 0 is by what is free. `draft` is the directory of a
    smaller model of the same vocabulary that drafts; its keys and values are of that memory, one
    context of them. With `cut` the model is cut over the processes of `torchrun`, see `parallel`.
    """

    device: str = "auto"
    kind: str = "auto"
    threads: int = 0
    cache_mb: int = 0
    draft: Path | None = None
    cut: bool = False


class Engine(Loop):
    """Samples from one model."""

    def __init__(
        self, runner: Runner, tokenizer: Tokenizer, form: Format, folder: Path, cache_mb: int = 0,
        draft: Runner | None = None,
    ) -> None:  # fmt: skip
        self.runner, self.tokenizer, self.form, self.folder = runner, tokenizer, form, folder
        self.context = runner.config.max_position_embeddings
        # Rows of the embedding that no token has, and control tokens that end nothing.
        spare = range(tokenizer.vocab_size, runner.config.vocab_size)
        never = {*tokenizer.special_ids, *spare} - form.ends_of_span
        model = None
        if draft is not None:
            model = DraftModel(draft, never, tokenizer.vocab_size, MOST_DRAFT)
        bound = _bound(runner, cache_mb, model.bytes if model else 0)
        if isinstance(runner, Fixed):
            runner.take(bound)
        cache, barred = Cache(runner, bound), np.array(sorted(never), np.int64)
        super().__init__(Scheduler(runner, tokenizer, barred, cache, model))

    @classmethod
    def load(cls, folder: Path, settings: Settings | None = None) -> Engine:
        """Load a model directory."""
        settings = settings or Settings()
        directory = Directory.read(folder)
        tokenizer, draft = directory.tokenizer, None
        computed = settings.device, settings.kind, settings.threads
        if settings.draft is not None:
            draft = runner_for(directory_of(settings.draft, tokenizer), *computed)
        runner = runner_for(directory, *computed, settings.cut)
        return cls(runner, tokenizer, directory.form, folder, settings.cache_mb, draft)

    @property
    def rows(self) -> int:
        """Answers that are computed at once."""
        return self.runner.rows

    @property
    def on_gpu(self) -> bool:
        """Whether something other than this machine's CPU computes."""
        return self.runner.device != "cpu"

    # ---------------------------------------------------------------------------------- prompts

    def prompt(
        self,
        prefix: str,
        suffix: str,
        *,
        max_tokens: int,
        layout: str | None = None,
        front: Sequence[int] = (),
    ) -> Prompt:
        """Compose a prompt that leaves room for `max_tokens`; far ends are cut to fit.

        `front` are ids that stand before it: context from other files (`sample.context`).
        """
        return fitting(
            prefix, suffix, self.tokenizer, self.form, self.context, max_tokens=max_tokens,
            layout=layout, front=front,
        )  # fmt: skip

    # ---------------------------------------------------------------------------------- answers

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
        require_room(max_tokens, self.context)
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

    def answer(self, prompt: Prompt, max_tokens: int, sampling: Sampling) -> Completion:
        """Generate one answer to a prompt."""
        return self.answers(prompt, max_tokens, sampling, 1)[0]

    def answers(
        self, prompt: Prompt, max_tokens: int, sampling: Sampling, n: int
    ) -> list[Completion]:
        """Generate `n` answers, each with draws of its own, from one prefill."""
        return self.samples(Request(prompt, max_tokens, sampling), n)

    def samples(self, request: Request, n: int) -> list[Completion]:
        """`n` answers to a request; the first is that of the request itself."""
        check_samples(n)
        keys = [f"{request.key}/{i}" if i else request.key for i in range(n)]
        handles: list[Handle] = []
        try:
            handles += (self.submit(replace(request, key=key)) for key in keys)
            return [self.wait(handle) for handle in handles]
        finally:
            for handle in handles:
                handle.cancel()

    def stream(self, prompt: Prompt, max_tokens: int, sampling: Sampling) -> Iterator[Piece]:
        """Generate one answer piece by piece; no piece ends inside a character.

        A reader that stops reading ends the request.
        """
        return self.pieces(Request(prompt, max_tokens, sampling))

    def answer_all(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Many answers, decoded beside each other: each request's index and answer, as they end.

        An answer depends on its request alone, not on what is asked beside it.
        """
        ended: deque[int] = deque()
        left, open_ = iter(enumerate(requests)), dict[int, Handle]()
        try:
            while True:
                while len(open_) < 2 * self.runner.rows and (item := next(left, None)) is not None:
                    index, request = item
                    open_[index] = self.submit(request)
                    open_[index].then(partial(_note, ended, index))
                if not open_:
                    return
                while not ended:
                    self.advance()
                index = ended.popleft()
                yield index, open_.pop(index).result()
        finally:
            for handle in open_.values():
                handle.cancel()

    # --------------------------------------------------------------------------------- measures

    def logits(self, ids: Sequence[int], start: int = 0) -> np.ndarray:
        """Logits (len(ids) - start, vocabulary) after every id from `start` on, in one pass."""
        require_ids(list(ids), self.runner.config.vocab_size)
        if not 0 <= start <= len(ids) <= self.context:
            raise UserError(f"{len(ids)} ids from {start} on; the model takes {self.context}")
        with self._lent(len(ids)) as keys, self.alone():
            assert keys is not None
            return self.runner.forward([Run(keys, 0, ids, len(ids) - start)]).copy()

    def score(
        self, ids: Sequence[int], top: int = 1, given_up: Callable[[], bool] = bool
    ) -> list[TokenLogprobs]:
        """What the model gives every id but the first: its log-probability and the `top` best.

        `given_up` is asked between two passes; what was found until then is returned.
        """
        require_ids(list(ids), self.runner.config.vocab_size)
        if not 1 <= len(ids) <= self.context:
            raise UserError(f"{len(ids)} ids; the model takes 1 to {self.context}")
        found: list[TokenLogprobs] = []
        while len(found) < len(ids) - 1:
            with self._lent(len(ids), given_up) as keys:
                if keys is None or not self._score(keys, ids, top, given_up, found):
                    break
        return found

    def _score(
        self, keys: Keys, ids: Sequence[int], top: int, given_up: Callable[[], bool],
        found: list[TokenLogprobs],
    ) -> bool:  # fmt: skip
        """Score what is not found yet until typing needs the memory; False for whoever gave up."""
        for start in range(0, len(ids) - 1, SCORED):
            if given_up():
                return False
            part = ids[start : min(start + SCORED, len(ids) - 1)]
            wanted = len(part) if start >= len(found) else 0
            with self.alone():
                if self.scheduler.typing_waits:
                    break
                rows = self.runner.forward([Run(keys, start, part, wanted)]).copy()
            for row, token in zip(rows, ids[start + 1 :], strict=False):
                own, best = logprobs(row, token, top)
                found.append(TokenLogprobs(token, own, tuple(best)))
        return True

    @contextmanager
    def _lent(self, capacity: int, given_up: Callable[[], bool] = bool) -> Iterator[Keys | None]:
        """Keys of one's own within the bound, once the requests under way leave room for them;
        None for whoever gave up before."""
        begun, own = time.perf_counter(), object()
        try:
            while True:
                with self.alone():
                    slot = None if self.scheduler.typing_waits else self.cache.lend(capacity)
                    if slot is None and time.perf_counter() - begun >= PATIENCE:
                        self.scheduler.lenders.add(own)
                if slot is not None or given_up():
                    break
                self.advance()
        finally:
            with self.alone():
                self.scheduler.lenders.discard(own)
        try:
            yield slot.keys if slot is not None else None
        finally:
            if slot is not None:
                with self.alone():
                    self.cache.drop(slot)

    @property
    def requests(self) -> tuple[int, int]:
        """Requests being answered, and waiting."""
        active, waiting = self.scheduler.load
        return active, waiting + len(self._inbox)

    @property
    def kept(self) -> tuple[int, int]:
        """Sequences whose keys and values are kept, and the bytes they take."""
        return len(self.cache.slots), self.cache.bytes

    @property
    def busy(self) -> int:
        """Sequences that requests hold."""
        return sum(slot.busy for slot in list(self.cache.slots))


def _note(ended: deque[int], index: int, _: Handle) -> None:
    ended.append(index)


def _bound(runner: Runner, cache_mb: int, draft: int = 0) -> int:
    """Bytes for keys and values beside a model's that drafts, `draft`; one whole context at least.

    Where none are given: what the runner has on a GPU, and a share of what is free on a CPU.
    """
    if cache_mb < 0:
        raise UserError(f"cache is {cache_mb} MB; it is 0 (by what is free) or more")
    least = runner.bytes_of(runner.config.max_position_embeddings)
    if not cache_mb and runner.device != "cpu":
        return max(least, runner.most_bytes - draft)
    if not cache_mb:
        by_memory = min(MOST_CACHE, int(CACHE_SHARE * memory.available()))
        return min(runner.most_bytes, max(least, by_memory - draft))
    if cache_mb * 1_000_000 < least + draft:
        whose = "the model's whole context" + (" and one of the draft model's" if draft else "")
        raise UserError(
            f"cache is {cache_mb} MB; one sequence of {whose} takes "
            f"{-(-(least + draft) // 1_000_000)} MB"
        )
    return min(runner.most_bytes, cache_mb * 1_000_000 - draft)
