"""Just enough of an HTTP client to load a server without loading the machine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A server on loopback."""

    host: str
    port: int
    path: str

    def request(self, body: bytes) -> bytes:
        """The bytes of a POST."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True)
class Answer:
    """What came back: seconds from the question to the first byte of text, and to the end."""

    status: int
    first: float
    whole: float
    body: bytes


class Connection:
    """One connection that is kept; it is opened anew when a question was given up."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.first: float | None = None
        """Seconds to the first text of the last question, once it has come: the rest may not."""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes) -> Answer:
        """Ask and read the whole answer. Cancelled, it hangs up, as editors do."""
        begun = time.perf_counter()
        self.first = None
        try:
            reader, writer = await self._open()
            writer.write(self.target.request(body))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            parts = []
            async for part in _body(reader, head.lower()):
                if self.first is None and status == 200:
                    self.first = time.perf_counter() - begun
                parts.append(part)
            if b"connection: close" in head.lower():
                self.hang_up()
            whole = time.perf_counter() - begun
            return Answer(status, self.first or whole, whole, b"".join(parts))
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Close without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection(
                self.target.host, self.target.port
            )
        return self._reader, self._writer


async def _body(reader: asyncio.StreamReader, head: bytes):  # type: ignore[no-untyped-def]
    """The body's parts, whichever way its length is said."""
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    if length:
        yield await reader.readexactly(length)
