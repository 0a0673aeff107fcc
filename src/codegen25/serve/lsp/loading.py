"""The engine, loaded beside the conversation: an editor does not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from codegen25.serve.lsp.settings import Settings

if TYPE_CHECKING:
    from codegen25.sample.engine import Engine

T = TypeVar("T")


def load(settings: Settings) -> Engine:
    """The model's engine, its loop started. What a user can mend is a UserError."""
    from codegen25.models import resolve
    from codegen25.sample.engine import Engine
    from codegen25.sample.engine import Settings as Computing

    engine = Engine.load(
        resolve(settings.model), Computing(kind=settings.weights, threads=settings.threads)
    )
    engine.start()
    return engine


async def aside(work: Callable[[], T]) -> T:
    """Await `work` done in a thread that does not keep the process alive, as a pool's would."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(what: Callable[..., object], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop was closed
            loop.call_soon_threadsafe(what, value)

    def run() -> None:
        try:
            tell(future.set_result, work())
        except Exception as error:
            tell(future.set_exception, error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await future
