"""Answers on their way to a client; one that leaves ends the work it asked for.

Who neither leaves nor takes its answer, nor ever asks, is hung up on: see `connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

T = TypeVar("T")

HEAD_SECONDS = 30.0
"""A request's headers are there so long after its first byte, or after the connection was made."""
SEND_SECONDS = 30.0
"""A reader that takes nothing for so long is given up."""
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
DONE = b"data: [DONE]\n\n"


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
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


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

    What goes wrong later becomes a last chunk; what is wrong with the request, see `begun`.
    """

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str = EVENTS) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, media_type)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_there(receive, self._send(send))
        except (GoneError, TimeoutError):
            pass  # nobody reads it
        finally:
            await _close(self._chunks)

    async def _send(self, send: Send) -> None:
        headers = [each for each in self.raw_headers if each[0] != b"content-length"]
        started = False
        async for chunk in _guarded(self._chunks, self.media_type or EVENTS):
            if not started:
                head = {"type": "http.response.start", "status": 200, "headers": headers}
                await _taken(send, head)
                started = True
            await _taken(send, {"type": "http.response.body", "body": chunk, "more_body": True})
        await _taken(send, {"type": "http.response.body", "body": b"", "more_body": False})


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
        from codegen25.serve.errors import said

        shape: dict[str, Any] = said(error)[1]
        if media_type == LINES:
            yield line({"error": shape["error"]["message"]})
        else:
            yield event(shape)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


def connection() -> type[H11Protocol]:
    """What uvicorn makes of each connection: its own HTTP, and an end to patience.

    uvicorn waits for ever for the first byte, for the rest of a request's head, and for what was
    written to be taken, even when it has closed the connection already. A class for its `http`.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _asking: asyncio.TimerHandle | None = None
        _taking: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Writing is paused then whenever something waits to be taken, however little it is.
            transport.set_write_buffer_limits(high=0)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._expect()
            elif self._asking is not None:
                self._asking.cancel()
                self._asking = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._await_taking()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._taking is not None:
                self._taking.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for timer in (self._asking, self._taking):
                if timer is not None:
                    timer.cancel()

        def _expect(self) -> None:
            """A request's head within a while; more bytes that are none give no more time."""
            if self._asking is None:
                self._asking = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

        def _await_taking(self) -> None:
            left = self.transport.get_write_buffer_size()
            self._taking = self.loop.call_later(SEND_SECONDS, self._look, left)

        def _look(self, left: int) -> None:
            if self.transport.get_write_buffer_size() >= left:
                self.transport.abort()
            else:
                self._await_taking()

    return Connection
