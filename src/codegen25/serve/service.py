"""From an `Ask` to answers: one place for all dialects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from codegen25.models import cache_folder
from codegen25.sample.request import ClosedError, Completion, Piece, Request
from codegen25.serve.accepted import Accepted
from codegen25.serve.ask import Ask
from codegen25.serve.backend import Backend
from codegen25.serve.metrics import Metrics
from codegen25.serve.prompts import requests_of
from codegen25.serve.refusals import UnavailableError, UnknownModelError
from codegen25.serve.served import QUEUE, Served, together

DEFAULT = "default"

Show = Callable[[int, Piece], None]


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
        self._closed = False

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
        self._closed = True
        for each in self.models.values():
            each.close()

    def measured(self) -> bytes:
        """What Prometheus scrapes."""
        backends = [each.backend for each in self.models.values()]
        self.metrics.active.set(sum(each.requests[0] for each in backends))
        self.metrics.waiting.set(sum(each.requests[1] for each in backends))
        self.metrics.slots.set(sum(each.kept[0] for each in backends))
        self.metrics.busy.set(sum(each.busy for each in backends))
        self.metrics.cache.set(sum(each.kept[1] for each in backends))
        return self.metrics.text()

    def require_ready(self) -> None:
        """Refuse for now while the models load."""
        if not self.models:
            raise UnavailableError("the model is loading; ask again in a second")

    # ---------------------------------------------------------------------------------- answers

    async def answers(self, served: Served, ask: Ask, show: Show | None = None) -> list[Completion]:
        """All answers of a question. Cancelling the task ends them within a step.

        `show` gets each answer's index and pieces as they become final.
        """
        with served.held([ask]):
            return await self.compute(served, ask, show)

    async def compute(self, served: Served, ask: Ask, show: Show | None = None) -> list[Completion]:
        """See `answers`, whose places are held here by whoever asks."""
        if ask.typing and ask.n == 1 and ask.suffix is not None and ask.layout is None:
            return [await self._typed(served, ask, show)]
        requests = await asyncio.to_thread(requests_of, served.backend, ask)
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
                with served.held(asks):
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
        if self._closed:
            raise ClosedError("the server ends")

        async def one(index: int, request: Request) -> Completion:
            def on_piece(piece: Piece) -> None:
                assert show is not None
                show(index, piece)

            shown = on_piece if show is not None else None
            return await backend.ask(request, shown, self.metrics.answered)

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
