"""A `Backend` whose computing is llama.cpp's.

Prompts, stops, queue and text are ours; llama.cpp gets token ids and gives tokens. If its process
dies, what is under way fails, and the next request starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from codegen25.errors import UserError
from codegen25.infill import Prompt
from codegen25.sample.answer import require_ids
from codegen25.sample.prompting import fitting, require_fit
from codegen25.sample.request import ClosedError, Completion, Piece, Request
from codegen25.serve.llama_cpp.answer import Answer
from codegen25.serve.llama_cpp.fields import body
from codegen25.serve.llama_cpp.gguf_model import SUFFIX, GgufModel, exported
from codegen25.serve.llama_cpp.process import Process, Setup
from codegen25.serve.llama_cpp.slots import Slots
from codegen25.serve.llama_cpp.stream import BrokenError, events

log = logging.getLogger("codegen25.serve")
MOST_SLOTS = 8
MOST_CACHE_MB = 1024
PAD = 256
"""llama.cpp rounds a slot's context up to a multiple of it."""


class LlamaCpp:
    """One GGUF in one process of llama.cpp."""

    def __init__(self, model: GgufModel, process: Process) -> None:
        self.model, self.process = model, process
        self.tokenizer, self.form, self.context = model.tokenizer, model.form, model.context
        spare = range(model.tokenizer.vocab_size, model.rows)
        never = {*model.tokenizer.special_ids, *spare} - model.form.ends_of_span
        self._never = sorted(never)
        self._slots = Slots(process.setup.slots)
        self._closed = False

    @classmethod
    def load(
        cls, place: Path, weights: str = "auto", threads: int = 0, cache_mb: int = 0
    ) -> LlamaCpp:
        """A GGUF file, or a model directory, which is exported to the cache folder first.

        `weights`, `threads` and `cache_mb` are `engine.Settings`'; those of a file are its own.
        """
        is_file = place.suffix.lower() == SUFFIX and place.is_file()
        model = GgufModel.read(place if is_file else exported(place, weights))
        setup = Setup(
            str(model.path), -(-model.context // PAD) * PAD, slots_of(model, cache_mb),
            threads or os.cpu_count() or 1, model.exact,
        )  # fmt: skip
        made = cls(model, Process(setup))
        made.start()
        return made

    # ---------------------------------------------------------------------------------- backend

    def prompt(
        self,
        prefix: str,
        suffix: str,
        *,
        max_tokens: int,
        layout: str | None = None,
        front: Sequence[int] = (),
    ) -> Prompt:
        """See `Engine.prompt`."""
        return fitting(
            prefix, suffix, self.tokenizer, self.form, self.context, max_tokens=max_tokens,
            layout=layout, front=front,
        )  # fmt: skip

    async def ask(
        self, request: Request, on_piece: Callable[[Piece], None] | None = None,
        on_end: Callable[[Completion], None] | None = None,
    ) -> Completion:  # fmt: skip
        """See `Loop.ask`. Cancelling the task ends the work in llama.cpp too, and a last piece says
        what there was."""
        require_ids(request.prompt.ids, self.model.rows)
        require_fit(request.prompt.ids, request.max_tokens, self.context)
        answer = Answer(request, on_piece, on_end)
        try:
            async with asyncio.timeout(request.budget):
                await self._write(answer)
        except TimeoutError:
            answer.reason = answer.reason or "time"
        except asyncio.CancelledError:
            answer.finish("cancelled")
            raise
        assert answer.reason is not None
        return answer.finish(answer.reason)

    @property
    def requests(self) -> tuple[int, int]:
        """Requests being answered, and waiting."""
        return self._slots.load

    @property
    def rows(self) -> int:
        """Sequences that llama.cpp computes at once."""
        return self.process.setup.slots

    @property
    def kept(self) -> tuple[int, int]:
        """Sequences in llama.cpp's slots, and the bytes of their prompts' keys and values."""
        kept = self._slots.kept
        return len(kept), sum(kept) * self.model.token_bytes * (2 if self.model.exact else 1)

    @property
    def busy(self) -> int:
        """Sequences that requests hold."""
        return self.requests[0]

    def start(self) -> None:
        """Start llama.cpp, unless it runs."""
        self._closed = False
        self._run()

    def close(self) -> None:
        """End llama.cpp; what is under way fails."""
        self._closed = True
        self.process.close()

    # ---------------------------------------------------------------------------------- answers

    async def _write(self, answer: Answer) -> None:
        request = answer.request
        ids = request.prompt.ids or [min(request.prompt.ends)]
        # llama.cpp wants room for one token more, which a prompt that is only computed has not.
        ids = ids[: self.context - 1]
        async with self._slots.taken(ids, request.owner, int(request.priority)) as (slot, reuse):
            await self._awake()
            asked = body(request, ids, slot, rows=self.model.rows, never=self._never, reuse=reuse)
            stream = events(self.process.port, self.process.key, asked)
            async with contextlib.aclosing(stream):
                async for event in stream:
                    if answer.take(event):
                        return
        log.error("llama.cpp ended an answer without saying why")
        raise BrokenError

    async def _awake(self) -> None:
        """Start llama.cpp again if it died."""
        if self._closed:
            raise ClosedError("the engine was closed")
        if self.process.alive:
            return
        try:
            await asyncio.to_thread(self._run)
        except UserError as error:  # of whoever serves; whoever asks can't mend it
            log.error("llama.cpp can't be started again: %s", error)
            raise BrokenError from error

    def _run(self) -> None:
        if self.process.start():
            self._slots.forget()


def slots_of(model: GgufModel, cache_mb: int) -> int:
    """How many sequences llama.cpp keeps: what fits the memory, 1 to `MOST_SLOTS`."""
    if cache_mb < 0:
        raise UserError(f"cache is {cache_mb} MB; it is 0 (by what is free) or more")
    each = model.token_bytes * model.context * (2 if model.exact else 1)
    fitting_ = (cache_mb or MOST_CACHE_MB) * 1_000_000 // each if each else 1
    return max(1, min(MOST_SLOTS, fitting_))
