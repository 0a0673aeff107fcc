"""Who brings requests forward: whoever asks, or a thread of the loop's own.

A call drives the scheduler until its own answer is there, and others' along with it. A server
starts the loop in a thread (`start`), and then calls only wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from codegen25.sample.request import ClosedError, Completion, Handle, Piece, Request
from codegen25.sample.scheduler import Scheduler


class Loop:
    """Requests from any thread or coroutine to one scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler, self.cache = scheduler, scheduler.cache
        self._lock = threading.RLock()
        """Held by whoever steps or computes."""
        self._door = threading.Lock()
        """Held for a moment to see whether there is a thread, and to hand it a request."""
        self._inbox: deque[Handle] = deque()
        self._bell = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._visitors = 0

    def submit(self, request: Request, on_piece: Callable[[Piece], None] | None = None) -> Handle:
        """Queue a request; `wait`, `pieces` or a started loop bring it forward."""
        handle = Handle(request, on_piece)
        with self._door:
            if self._thread is not None:
                self._inbox.append(handle)
                self._bell.set()
                return handle
        with self._lock:
            self.scheduler.submit(handle)
        return handle

    def wait(self, handle: Handle) -> Completion:
        """The answer of a request, computed now if no loop does."""
        while not handle.done:
            self.advance(handle)
        return handle.result()

    def pieces(self, request: Request) -> Iterator[Piece]:
        """A request's pieces as they become final; ends the request when nobody reads on."""
        ready: deque[Piece] = deque()
        news = threading.Event()

        def show(piece: Piece) -> None:
            ready.append(piece)
            news.set()

        handle = self.submit(request, show)
        handle.then(lambda _: news.set())
        try:
            done = False
            while not done:
                done = handle.done  # asked before the last look: what came until then is shown
                while ready:
                    yield ready.popleft()
                if not done:
                    news.clear()
                    self.advance(handle, news)
            if handle.error is not None:
                raise handle.error
        finally:
            handle.cancel()
            if not handle.done and self._thread is None:
                self.advance(handle)

    async def ask(
        self, request: Request, on_piece: Callable[[Piece], None] | None = None,
        on_end: Callable[[Completion], None] | None = None,
    ) -> Completion:  # fmt: skip
        """Await an answer. Cancelling the task cancels the request. The loop must be started.

        `on_piece` is called in the event loop. `on_end` gets the answer however it ends, also a
        cancelled one, which ends within a step when its task is gone: first of all, in any thread.
        """
        if self._thread is None:
            raise ClosedError("the engine's loop does not run")
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(what: Callable[..., object], *values: object) -> None:
            with contextlib.suppress(RuntimeError):  # whoever asked has closed the event loop
                loop.call_soon_threadsafe(what, *values)

        def end(done: Handle) -> None:
            try:
                if on_end is not None and done.completion is not None:
                    on_end(done.completion)
            finally:
                tell(ended.set)

        show = None if on_piece is None else lambda piece: tell(on_piece, piece)
        handle = self.submit(request, show)
        handle.then(end)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            handle.cancel()
            raise
        return handle.result()

    def start(self) -> None:
        """Run the loop in a thread of its own until `close`."""
        with self._lock, self._door:
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the loop; what is under way fails."""
        thread, self._closing = self._thread, True
        self._bell.set()
        if thread is not None:
            thread.join()

    def advance(self, handle: Handle | None = None, news: threading.Event | None = None) -> None:
        """One step here, or a moment's wait for the loop's."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and (handle is None or not handle.done):
                    busy = self._step()
                    if not busy and handle is not None and not handle.done:
                        time.sleep(0.001)  # it waits for what others hold
        elif news is not None:
            news.wait(0.05)
        elif handle is not None:
            handle.wait(0.01)
        else:
            time.sleep(0.001)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """The runner for oneself, between two steps of the loop."""
        with self._door:
            self._visitors += 1
        try:
            with self._lock:
                yield
        finally:
            with self._door:
                self._visitors -= 1
            self._bell.set()  # what a visitor gave back may be what a request waits for

    def _loop(self) -> None:
        while not self._closing:
            self._bell.clear()
            with self._lock:
                busy = self._step()
            if not busy:
                self._bell.wait(1.0)
            while self._visitors and not self._closing:  # a lock that is taken again is never free
                time.sleep(0.0005)
        with self._lock, self._door:
            self._collect()
            self.scheduler.fail_all(ClosedError("the engine was closed"))
            self._thread = None

    def _step(self) -> bool:
        self._collect()
        try:
            return self.scheduler.step()
        except Exception as error:
            # Whatever broke the step, no request may wait for ever, and the next one may work.
            self.scheduler.fail_all(error)
            self.cache.clear()
            return False

    def _collect(self) -> None:
        while self._inbox:
            handle = self._inbox.popleft()
            try:
                self.scheduler.submit(handle)
            except Exception as error:
                handle.finish(None, error)
