"""A typing session that an event loop awaits: the latest request wins."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from codegen25.sample.request import Completion, Handle
from codegen25.sample.session import Session
from codegen25.sample.stopping import Stops

PREFETCH_SECONDS = 1.0
GLANCE = 0.02
"""Seconds between two looks at whether an answer under way still agrees with what is typed."""

Turn = asyncio.Future[None]


class Asking(Session):
    """Suggestions for one document. The engine's loop must be started; of one thread only."""

    _turn: Turn | None = None
    """Of the request that is being answered; done when a later one takes its place."""

    async def answer(
        self, prefix: str, suffix: str, *, budget: float, single_line: bool
    ) -> Completion | None:
        """The completion at a cursor, within `budget` seconds; None if a later request came.

        What is typed through costs nothing, and an answer under way that agrees with the typing is
        awaited instead of asked for again. Cancelling ends the engine's request within a step.
        """
        self._give_way()
        turn = self._turn = asyncio.get_running_loop().create_future()
        try:
            while (known := self.recall(prefix, suffix)) is None:
                if self._under_way(prefix, suffix) is None:
                    stops = Stops.editor(single_line=single_line)
                    self.options = replace(self.options, budget=budget, stops=stops)
                    self.begin(prefix, suffix)
                await self._until_known(prefix, suffix, turn)
                if turn.done():
                    return None
                completion = self._taken(prefix)
                if completion is not None:
                    return completion
            return known
        except asyncio.CancelledError:
            if self._turn is turn:
                self.cancel()
            raise
        finally:
            if self._turn is turn:
                self._turn = None

    def prefetch(self, prefix: str, suffix: str) -> list[Handle]:
        """Queue what is worth doing while nobody types; nothing while there is a request."""
        if self._turn is not None:
            return []
        self.options = replace(self.options, budget=PREFETCH_SECONDS)
        return list(self.idle(prefix, suffix))

    def close(self) -> None:
        """Nobody wants answers any more."""
        self._give_way()
        self.cancel()

    def _give_way(self) -> None:
        if self._turn is not None:
            _settle(self._turn)

    def _under_way(self, prefix: str, suffix: str) -> Handle | None:
        """The answer that is being written, when what was typed since agrees with it so far."""
        running = self.running
        agrees = running is not None and running.agrees(prefix, suffix)
        return running.handle if running is not None and agrees else None

    async def _until_known(self, prefix: str, suffix: str, turn: Turn) -> None:
        """Wait for the answer under way to end or to disagree, or for a later request."""
        assert self.running is not None
        before, _, handle = self.running
        loop = asyncio.get_running_loop()
        ended: Turn = loop.create_future()

        def tell(_: Handle) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop was closed
                loop.call_soon_threadsafe(_settle, ended)

        handle.then(tell)
        glance = None if prefix == before else GLANCE
        while not (ended.done() or turn.done()) and self._under_way(prefix, suffix) is handle:
            await asyncio.wait({ended, turn}, timeout=glance, return_when=asyncio.FIRST_COMPLETED)

    def _taken(self, prefix: str) -> Completion | None:
        """What the answer under way says at `prefix`, once it has ended; it is remembered."""
        running = self.running
        if running is None:
            return None
        if not running.handle.done:  # it goes another way than the typing
            self.cancel()
            return None
        completion = self.ended(prefix, running.suffix)
        return running.handle.result() if running.prefix == prefix else completion


def _settle(future: Turn) -> None:
    if not future.done():
        future.set_result(None)
