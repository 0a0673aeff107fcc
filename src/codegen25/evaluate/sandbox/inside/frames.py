"""JSON messages over a socket, each behind its length."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Iterable
from typing import Any


class ClosedError(Exception):
    """The other side is gone."""


class ViolationError(Exception):
    """What came is no message, or a longer one than allowed."""


class Channel:
    """Both directions of a stream socket. `cap` bounds what is received, in bytes."""

    def __init__(self, stream: socket.socket, cap: int = 1 << 31) -> None:
        self.stream = stream
        self._cap = cap
        self._held = b""

    def send(self, message: Any) -> None:
        """Write one message, all of it."""
        self.send_all([message])

    def send_all(self, messages: Iterable[Any]) -> None:
        """Write messages one after the other, at once."""
        raws = [json.dumps(message).encode() for message in messages]
        try:
            self.stream.sendall(b"".join(struct.pack("=I", len(raw)) + raw for raw in raws))
        except OSError as error:
            raise ClosedError(str(error)) from None

    def receive(self) -> Any:
        """Wait for one message."""
        held = self._held
        while len(held) < 4:
            held += self._more(1 << 16)
        (length,) = struct.unpack("=I", held[:4])
        if length > self._cap:
            raise ViolationError(f"a message of {length} bytes")
        if len(held) < 4 + length:
            parts, missing = [held], 4 + length - len(held)
            while missing > 0:
                parts.append(self._more(min(missing, 1 << 20)))
                missing -= len(parts[-1])
            held = b"".join(parts)
        self._held = held[4 + length :]
        try:
            return json.loads(held[4 : 4 + length])
        except (ValueError, RecursionError) as error:
            raise ViolationError(type(error).__name__) from None

    def _more(self, most: int) -> bytes:
        try:
            part = self.stream.recv(most)
        except OSError:
            part = b""
        if not part:
            raise ClosedError("closed")
        return part

    @property
    def holds(self) -> bool:
        """Whether a message, or the beginning of one, has been read beyond the last."""
        return bool(self._held)

    def waits(self, seconds: float = 0.0) -> bool:
        """Whether something can be read within that time: a message, a part of one, or the end."""
        if self._held:
            return True
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))
