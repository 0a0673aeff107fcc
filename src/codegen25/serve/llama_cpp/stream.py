"""A POST to llama.cpp's server and the events it answers with, over one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from codegen25.errors import UserError
from codegen25.serve.refusals import UnavailableError

HOST = "127.0.0.1"
LINE_LIMIT = 1 << 20


class BrokenError(UnavailableError):
    """The connection broke, or what came was no HTTP."""

    def __init__(self) -> None:
        super().__init__("llama.cpp ended while it was asked; ask again")


async def events(
    port: int, key: str, body: dict[str, Any], path: str = "/completion"
) -> AsyncGenerator[dict[str, Any], None]:
    """Server-sent events as they come. Closing the iterator closes the connection, by which
    llama.cpp knows that nobody waits for more.

    What the server refuses is a UserError; a connection that breaks is a BrokenError.
    """
    try:
        reader, writer = await asyncio.open_connection(HOST, port, limit=LINE_LIMIT)
    except OSError as error:
        raise BrokenError from error
    try:
        writer.write(_request(path, key, json.dumps(body).encode()))
        await writer.drain()
        status, headers = await _head(reader)
        if status != 200:
            raise _refusal(status, b"".join([part async for part in _parts(reader, headers)]))
        rest = b""
        async for part in _parts(reader, headers):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                    yield json.loads(line[5:])
                elif line.startswith(b"error:"):
                    raise _refusal(500, line[6:])
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        raise BrokenError from error
    finally:
        writer.transport.abort()


def _request(path: str, key: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in fields}


async def _parts(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """The body as it comes, by its length or in chunks."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        yield await reader.readexactly(int(headers.get("content-length", "0")))
        return
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


def _refusal(status: int, body: bytes) -> Exception:
    """llama.cpp's own words, which name no paths and repeat no text."""
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"status {status}"
    if status == 503:
        return UnavailableError("llama.cpp is not ready; ask again in a second")
    if status == 400:
        return UserError(f"llama.cpp refuses this: {message}")
    return RuntimeError(f"llama.cpp failed: {message}")
