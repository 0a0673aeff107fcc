"""Answers on their way to a client; one that leaves ends the work it asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

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

    What goes wrong before the first chunk is raised, so that it gets a status of its own; later
    faults become a last chunk, made by `fault`.
    """

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str = EVENTS) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, media_type)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_there(receive, self._send(send))
        except GoneError:
            pass
        finally:
            await _close(self._chunks)

    async def _send(self, send: Send) -> None:
        headers = [each for each in self.raw_headers if each[0] != b"content-length"]
        started = False
        async for chunk in _guarded(self._chunks, self.media_type or EVENTS):
            if not started:
                head = {"type": "http.response.start", "status": 200, "headers": headers}
                await asyncio.wait_for(send(head), SEND_SECONDS)
                started = True
            body = {"type": "http.response.body", "body": chunk, "more_body": True}
            await asyncio.wait_for(send(body), SEND_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


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


def compact(value: object) -> str:
    """JSON text without spaces."""
    return json.dumps(value, separators=(",", ":"))
