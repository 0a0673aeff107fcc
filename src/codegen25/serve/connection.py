"""What uvicorn makes of each connection: its own HTTP, and an end to patience.

uvicorn waits for ever for the first byte, for the rest of a request's head, and for what was
written to be taken, even when it has closed the connection already. Who neither leaves nor takes
its answer, nor ever asks, is hung up on here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from codegen25.serve import reply

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0
"""A request's headers are there so long after its first byte, or after the connection was made."""
OPEN = "connections"
"""All open connections, in the state of every request's scope."""


def connection() -> type[H11Protocol]:
    """A class for uvicorn's `http`."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _asking: asyncio.TimerHandle | None = None
        _taking: asyncio.TimerHandle | None = None

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.app_state = {**self.app_state, OPEN: self.connections}

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
            self._taking = self.loop.call_later(reply.SEND_SECONDS, self._look, left)

        def _look(self, left: int) -> None:
            if self.transport.get_write_buffer_size() >= left:
                self.transport.abort()
            else:
                self._await_taking()

    return Connection
