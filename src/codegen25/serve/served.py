"""A model that is served: what is asked of it, and what may be asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from codegen25.errors import UserError
from codegen25.sample.request import TokenLogprobs
from codegen25.serve.ask import MOST_SAMPLES, Ask
from codegen25.serve.backend import Backend
from codegen25.serve.places import Places
from codegen25.serve.refusals import UnsupportedError
from codegen25.serve.typists import Typists

T = TypeVar("T")
QUEUE = 256


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
        self._texts = ThreadPoolExecutor(1, f"texts of {self.name}")

    @contextmanager
    def held(self, asks: Sequence[Ask]) -> Iterator[None]:
        """Places for all answers of some questions: all of them, or a BusyError at once."""
        for ask in asks:
            if not 1 <= ask.n <= MOST_SAMPLES:
                raise UserError(f"n is {ask.n}; it lies between 1 and {MOST_SAMPLES}")
        with self.places.held(sum(ask.n for ask in asks)):
            yield

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

    async def apart(self, work: Callable[[], T]) -> T:
        """The result of work on texts of any length, in a place of the queue, in a thread that
        does one after the other: keystrokes are laid out in others. Who leaves is not waited for.
        """
        with self.places.held(1):
            return await asyncio.get_running_loop().run_in_executor(self._texts, work)

    def close(self) -> None:
        """End the backend; what is under way fails."""
        self._texts.shutdown(wait=False, cancel_futures=True)
        self.backend.close()


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one fails or the caller is cancelled, the others end too."""
    first, *others = work
    if not others:
        return [await first]  # a task of its own would cost turns of the event loop
    tasks = [asyncio.create_task(each) for each in (first, *others)]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
