"""One answer of a backend, whose end is told to somebody besides whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from codegen25.sample.loop import Loop
from codegen25.sample.request import Completion, Handle, Piece, Request
from codegen25.serve.backend import Backend

Told = Callable[[Completion], None]


async def answer(
    backend: Backend, request: Request, on_piece: Callable[[Piece], None] | None, on_end: Told
) -> Completion:
    """An answer. `on_end` gets it however it ends, first of all and in any thread.

    Cancelling the task ends the answer within a step; its reason is "cancelled" then, and nobody
    but `on_end` gets it. `on_piece` is called in the event loop.
    """
    if isinstance(backend, Loop):
        return await _of_loop(backend, request, on_piece, on_end)

    def show(piece: Piece) -> None:
        if piece.completion is not None:
            on_end(piece.completion)
        if on_piece is not None:
            on_piece(piece)

    return await backend.ask(request, show)


async def _of_loop(
    engine: Loop, request: Request, on_piece: Callable[[Piece], None] | None, on_end: Told
) -> Completion:
    """`Loop.ask`, which hands out no handle: one that was cancelled ends when its task is gone."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def tell(what: Callable[..., object], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # whoever asked has closed the event loop
            loop.call_soon_threadsafe(what, *values)

    def end(handle: Handle) -> None:
        if handle.completion is not None:
            on_end(handle.completion)
        tell(over.set)

    show = None if on_piece is None else lambda piece: tell(on_piece, piece)
    handle = engine.submit(request, show)
    handle.then(end)
    try:
        await over.wait()
    except asyncio.CancelledError:
        handle.cancel()
        raise
    return handle.result()
