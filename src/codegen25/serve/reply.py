"""Answers on their way to a client; one that leaves ends the work it asked for.

A server that ends says so to whoever is still being answered: see `Stream` and `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from codegen25.serve.refusals import UnavailableError

T = TypeVar("T")
SEND_SECONDS = 30.0
"""A reader that takes nothing for so long is given up."""
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
DONE = b"data: [DONE]\n\n"
ENDING = "the server ends"
"""What is said to whoever waits for an answer when the grace is over."""


class GoneError(Exception):
    """The client left before its answer was there."""


async def while_there(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves: a `GoneError` then."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise GoneError
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        if not task.done():
            await asyncio.gather(task, return_exceptions=True)
        elif not task.cancelled():
            task.exception()  # asyncio would log it, unless somebody has looked


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer on one line without spaces, as llama.vim needs it."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def line(value: object) -> bytes:
    """One line of newline-delimited JSON."""
    return orjson.dumps(value) + b"\n"


class Stream(Response):
    """Chunks as they come.

    What goes wrong later becomes a last chunk, the server's end too; what is wrong with the
    request, see `begun`.
    """

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str = EVENTS) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, media_type)
        self._chunks = chunks
        self._started = self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_there(receive, self._send(send))
        except (GoneError, TimeoutError):
            pass  # nobody reads it
        except asyncio.CancelledError:  # the grace is over; one that has ended is whole
            if not self._ended:
                await self._put(send, fault(UnavailableError(ENDING), self.media_type))
                await self._end(send)
        finally:
            await _close(self._chunks)

    async def _send(self, send: Send) -> None:
        async for chunk in _guarded(self._chunks, self.media_type or EVENTS):
            await self._put(send, chunk)
        await self._end(send)

    async def _put(self, send: Send, chunk: bytes) -> None:
        if not self._started:
            headers = [each for each in self.raw_headers if each[0] != b"content-length"]
            head = {"type": "http.response.start", "status": 200, "headers": headers}
            await _taken(send, head)
            self._started = True
        await _taken(send, {"type": "http.response.body", "body": chunk, "more_body": True})

    async def _end(self, send: Send) -> None:
        await _taken(send, {"type": "http.response.body", "body": b"", "more_body": False})
        self._ended = True


async def _taken(send: Send, message: Message) -> None:
    """Send; a TimeoutError when what was sent before is not taken for too long."""
    # Not wait_for, which before Python 3.12 may lose a cancellation: the client's leaving.
    async with asyncio.timeout(SEND_SECONDS):
        await send(message)


async def begun(receive: Receive, chunks: AsyncIterator[bytes], media_type: str) -> Stream:
    """A stream whose first chunk is there: what was wrong with the request was raised by now."""
    try:
        first = await while_there(receive, anext(chunks))
    except BaseException:
        await _close(chunks)
        raise

    async def rest() -> AsyncIterator[bytes]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            await _close(chunks)

    return Stream(rest(), media_type)


async def _guarded(chunks: AsyncIterator[bytes], media_type: str) -> AsyncIterator[bytes]:
    """The chunks, and a last one that says what went wrong, if something did."""
    try:
        async for chunk in chunks:
            yield chunk
    except Exception as error:
        yield fault(error, media_type)


def fault(error: Exception, media_type: str | None) -> bytes:
    """What went wrong, as the last chunk of a stream."""
    from codegen25.serve.errors import said

    shape: dict[str, Any] = said(error)[1]
    return line({"error": shape["error"]["message"]}) if media_type == LINES else event(shape)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
