"""From an `Ask` to answers: one place for all dialects."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt
from codegen25.models import cache_folder
from codegen25.sample.request import Completion, Piece, Priority, Request, TokenLogprobs
from codegen25.serve.accepted import Accepted
from codegen25.serve.ask import MOST_SAMPLES, Ask
from codegen25.serve.backend import Backend
from codegen25.serve.metrics import Metrics
from codegen25.serve.places import Places
from codegen25.serve.refusals import UnavailableError, UnknownModelError, UnsupportedError
from codegen25.serve.typists import Typists, front

T = TypeVar("T")
DEFAULT = "default"
QUEUE = 256
LEAST_ROOM = 32
"""Tokens that an infill's surroundings keep, however long an answer is asked for."""

Show = Callable[[int, Piece], None]


@dataclass
class Served:
    """A model that is served, and who types into it. `queue` answers may wait for their turn."""

    name: str
    backend: Backend
    queue: int = QUEUE

    def __post_init__(self) -> None:
        self.typists = Typists(self.backend)
        self.places = Places(self.queue + self.backend.rows)
        self._scoring = asyncio.Semaphore(1)

    async def score(self, ids: Sequence[int], top: int) -> list[TokenLogprobs]:
        """Log-probabilities of every id but the first, with `top` alternatives."""
        score = getattr(self.backend, "score", None)
        if score is None:
            raise UnsupportedError("what computes this model gives no probabilities of a prompt")
        if not ids or len(ids) > self.backend.context:
            raise UserError(f"{len(ids)} ids; the model takes 1 to {self.backend.context}")
        left = False
        async with self._scoring:  # one prompt after the other: typists come between its passes
            try:
                return await asyncio.to_thread(score, list(ids), top, lambda: left)
            except asyncio.CancelledError:
                left = True
                raise


class Service:
    """The served models by name, the first being the default. They are there once loaded."""

    def __init__(
        self,
        load: Callable[[], Mapping[str, Backend]],
        queue: int = QUEUE,
        events: Accepted | None = None,
    ) -> None:
        self._load, self.queue = load, queue
        self.events = events or Accepted(cache_folder(), keep=False)
        """What becomes of completions, where clients tell."""
        self.models: dict[str, Served] = {}
        self.metrics = Metrics()
        self.failed: Exception | None = None
        """What kept the models from being loaded."""

    @property
    def ready(self) -> bool:
        """Whether the models are loaded."""
        return bool(self.models)

    @property
    def default(self) -> Served:
        """The model of whoever names none."""
        self.require_ready()
        return next(iter(self.models.values()))

    def model(self, name: str | None) -> Served:
        """A served model; no name, and "default", mean the first."""
        self.require_ready()
        if not name or name == DEFAULT:
            return self.default
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(self.models)
            raise UnknownModelError(f"no model {name[:80]!r} is served; there is {known}") from None

    def load(self) -> None:
        """Load the models and let them answer; a fault is kept in `failed` and raised."""
        try:
            backends = self._load()
            for backend in backends.values():
                backend.start()
        except Exception as error:
            self.failed = error
            raise
        self.models = {
            name: Served(name, backend, self.queue) for name, backend in backends.items()
        }

    def close(self) -> None:
        """End all models; what is under way fails."""
        for each in self.models.values():
            each.backend.close()

    def measured(self) -> bytes:
        """What Prometheus scrapes."""
        backends = [each.backend for each in self.models.values()]
        self.metrics.active.set(sum(each.requests[0] for each in backends))
        self.metrics.waiting.set(sum(each.requests[1] for each in backends))
        self.metrics.slots.set(sum(each.kept[0] for each in backends))
        self.metrics.busy.set(sum(map(_held, backends)))
        self.metrics.cache.set(sum(each.kept[1] for each in backends))
        return self.metrics.text()

    def require_ready(self) -> None:
        """Refuse for now while the models load."""
        if not self.models:
            raise UnavailableError("the model is loading; ask again in a second")

    # ---------------------------------------------------------------------------------- answers

    @contextmanager
    def held(self, served: Served, asks: Sequence[Ask]) -> Iterator[None]:
        """Places for all answers of some questions: all of them, or a BusyError at once."""
        for ask in asks:
            if not 1 <= ask.n <= MOST_SAMPLES:
                raise UserError(f"n is {ask.n}; it lies between 1 and {MOST_SAMPLES}")
        with served.places.held(sum(ask.n for ask in asks)):
            yield

    async def answers(self, served: Served, ask: Ask, show: Show | None = None) -> list[Completion]:
        """All answers of a question. Cancelling the task ends them within a step.

        `show` gets each answer's index and pieces as they become final.
        """
        with self.held(served, [ask]):
            return await self.compute(served, ask, show)

    async def compute(self, served: Served, ask: Ask, show: Show | None = None) -> list[Completion]:
        """See `answers`, whose places are held here by whoever asks."""
        if ask.typing and ask.n == 1 and ask.suffix is not None and ask.layout is None:
            return [await self._typed(served, ask, show)]
        requests = await asyncio.to_thread(self._requests, served.backend, ask)
        return await self._all(served.backend, requests, show)

    async def stream(self, served: Served, asks: Sequence[Ask]) -> AsyncIterator[tuple[int, Piece]]:
        """Each answer's index, through all questions, and its pieces as they become final.

        Closing the iterator ends the answers.
        """
        ready: asyncio.Queue[tuple[int, Piece] | None] = asyncio.Queue()

        async def one(first: int, ask: Ask) -> None:
            await self.compute(served, ask, lambda i, piece: ready.put_nowait((first + i, piece)))

        async def work() -> None:
            try:
                with self.held(served, asks):
                    await together(one(i * ask.n, ask) for i, ask in enumerate(asks))
            finally:
                ready.put_nowait(None)

        task = asyncio.create_task(work())
        try:
            while (item := await ready.get()) is not None:
                yield item
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _all(
        self, backend: Backend, requests: list[Request], show: Show | None
    ) -> list[Completion]:
        async def one(index: int, request: Request) -> Completion:
            def on_piece(piece: Piece) -> None:
                assert show is not None
                show(index, piece)

            completion = await backend.ask(request, on_piece if show is not None else None)
            self.metrics.answered(completion)
            return completion

        return await together(one(i, request) for i, request in enumerate(requests))

    async def _typed(self, served: Served, ask: Ask, show: Show | None) -> Completion:
        """The answer to a keystroke; one that was typed through costs nothing."""
        typist = served.typists.of(ask)
        known = typist.known(ask)
        if known is not None:
            if show is not None:
                show(0, Piece(known.text, known))
            self.metrics.typed_through()
            return known
        request = await typist.asked(ask)
        [completion] = await self._all(served.backend, [request], show)
        served.typists.remember(typist, ask, completion)
        return completion

    # ----------------------------------------------------------------------------------- prompts

    def _requests(self, backend: Backend, ask: Ask) -> list[Request]:
        prompt = self._prompt(backend, ask)
        request = Request(
            prompt, ask.max_tokens, ask.sampling, stops=ask.stops,
            prefix=ask.prefix, suffix=ask.suffix or "", language=ask.language,
            priority=Priority.TYPING if ask.typing else Priority.BATCH, budget=ask.budget,
            owner=ask.owner,
        )  # fmt: skip
        keys = [f"{request.key}/{i}" if i else request.key for i in range(ask.n)]
        return [replace(request, key=key) for key in keys]

    @staticmethod
    def _prompt(backend: Backend, ask: Ask) -> Prompt:
        """The prompt of a question. An infill's far ends are cut to fit; what is to be continued
        from left to right, or is given as ids, is refused when it is too long."""
        room = backend.context - ask.max_tokens
        if ask.ids is not None or ask.suffix is None:
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
        if room < LEAST_ROOM:
            raise UserError(
                f"max_tokens is {ask.max_tokens}; this model's context of {backend.context} "
                f"leaves room for {backend.context - LEAST_ROOM}"
            )
        ahead = front(ask.extra, backend.tokenizer, min(backend.context, room) // 4)
        return backend.prompt(
            ask.prefix, ask.suffix, max_tokens=max(1, ask.max_tokens), layout=ask.layout,
            front=ahead,
        )  # fmt: skip


def _held(backend: Backend) -> int:
    """Slots of our engine's that requests hold; llama.cpp's are as many as are being answered."""
    cache = getattr(backend, "cache", None)
    return backend.requests[0] if cache is None else sum(slot.busy for slot in list(cache.slots))


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one fails or the caller is cancelled, the others end too."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
