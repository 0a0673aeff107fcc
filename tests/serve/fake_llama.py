"""A server that speaks `/completion`'s stream as llama.cpp does, with answers set by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from codegen25.serve.llama_cpp.process import Setup

Script = Sequence[tuple[str, list[int]]]
"""Pieces of text and the ids that come with them; the last event is added."""


@dataclass
class FakeLlama:
    """Stands in for `Process`: `asked` are the bodies that came, `left` counts who hung up."""

    script: Script = ()
    stop_type: str = "eos"
    pause: float = 0.0
    status: int = 200
    broken_after: int | None = None
    cached: int = 0
    setup: Setup = field(default_factory=lambda: Setup("m.gguf", 256, 2, 1))
    port: int = 0
    key: str = "secret"
    alive: bool = True
    started: int = 0
    left: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def start(self) -> bool:
        self.started += not self.alive
        fresh, self.alive = not self.alive, True
        return fresh

    def close(self) -> None:
        self.alive = False

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[FakeLlama]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        self.keys.append(fields["Authorization"])
        self.asked.append(json.loads(await reader.readexactly(int(fields["Content-Length"]))))
        try:
            await self._stream(reader, writer)
        except ConnectionError:
            self.left += 1
        finally:
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.status != 200:
            error = json.dumps({"error": {"code": self.status, "message": "no"}}).encode()
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (self.status, len(error)))
            writer.write(error)
            return await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await chunk(writer, b": ping\n\n")
        for i, event in enumerate(self.events()):
            if i == self.broken_after:
                return None
            with contextlib.suppress(TimeoutError):
                if self.pause and not await asyncio.wait_for(reader.read(1), self.pause):
                    raise ConnectionResetError
            data = b"data: " + json.dumps(event).encode() + b"\n\n"
            await chunk(writer, data[: len(data) // 2])  # a chunk's border is no line's
            await chunk(writer, data[len(data) // 2 :])
        writer.write(b"0\r\n\r\n")
        return await writer.drain()

    def events(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        count = 0
        timings = {"cache_n": self.cached}
        for text, ids in self.script:
            count += len(ids)
            made.append({"content": text, "tokens": ids[-1:], "stop": False,
                         "tokens_predicted": count, "timings": timings})  # fmt: skip
        last = {"content": "", "tokens": [], "stop": True, "stop_type": self.stop_type}
        return [*made, {**last, "tokens_predicted": count, "timings": timings}]


async def chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()
