"""What serves behind the dialects: our engine, or llama.cpp's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from codegen25.sample.request import Completion, Piece, Request
from codegen25.sample.session import Model


class Backend(Model, Protocol):
    """A model that answers requests from coroutines. `sample.engine.Engine` is one, started."""

    async def ask(
        self, request: Request, on_piece: Callable[[Piece], None] | None = None,
        on_end: Callable[[Completion], None] | None = None,
    ) -> Completion:  # fmt: skip
        """See `Loop.ask`."""

    @property
    def rows(self) -> int:
        """Answers that are written at once."""

    @property
    def requests(self) -> tuple[int, int]:
        """Requests being answered, and waiting."""

    @property
    def kept(self) -> tuple[int, int]:
        """Sequences in the cache, and the bytes they take."""

    @property
    def busy(self) -> int:
        """Sequences that requests hold."""

    def start(self) -> None:
        """Begin to answer."""

    def close(self) -> None:
        """End; what is under way fails."""
