"""A request's body: read whole within bounds, and looked at before anything parses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from starlette.types import Message, Receive

MAX_DEPTH = 64
MOST_HELD = 64 << 20
"""Bytes of all bodies together, each from its first byte until its request has ended."""


class RefusedError(Exception):
    """A request that is not let through: the status, and why."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


class Held:
    """The bytes of all bodies of a server. For one event loop."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """What takes bytes for one request, until the block ends; a RefusedError when there are
        too many already."""
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self.bytes + count > MOST_HELD:
                raise RefusedError(503, "the server holds many large requests; ask again later")
            self.bytes += count
            mine += count

        try:
            yield take
        finally:
            self.bytes -= mine


async def whole(receive: Receive, most: int, take: Callable[[int], None]) -> bytes:
    """The whole body; a RefusedError when it is larger than `most` bytes or than `take` allows."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise RefusedError(413, too_large(most))
        take(len(part))
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def too_large(most: int) -> str:
    """That a body exceeds `most` bytes."""
    size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most} bytes"
    return f"the body is larger than {size}"


def fault(body: bytes) -> str | None:
    """What is wrong with a body that is to be JSON, before it is parsed."""
    if not is_utf8(body):
        return "the body is not UTF-8"
    if depth(body) > MAX_DEPTH:
        return f"the body is nested more than {MAX_DEPTH} deep"
    return None


def is_utf8(body: bytes) -> bool:
    """Whether JSON text is UTF-8. Python's reader would take UTF-16 and UTF-32 too, which it knows
    by their zeros; none stands in JSON otherwise."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def depth(body: bytes) -> int:
    """How deep JSON text in UTF-8 is nested at most, 0 if it is less than `MAX_DEPTH` for sure.

    Text that is no JSON has a depth too: that of what stands before its first fault, at least. The
    work is done by passes over bytes, for code is full of brackets, and event loops are shared.
    """
    if body.count(b"[") + body.count(b"{") < MAX_DEPTH:
        return 0
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # a quote now begins or ends a string
    outside = b"".join(bare.split(b'"')[::2])
    steps = np.frombuffer(outside.translate(_STEPS, _NO_BRACKETS), np.int8)
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever else the client does."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again
