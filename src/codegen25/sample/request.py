"""What is asked of the engine, and what comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from codegen25.errors import UserError
from codegen25.infill import Prompt
from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.traced import traced

DEFAULT_MAX_TOKENS = 128
log = logging.getLogger(__name__)


class Priority(IntEnum):
    """Who goes first; a lower class waits while there is work of a higher one."""

    TYPING = 0
    BATCH = 1
    PREFETCH = 2
    WARM = 3


class BusyError(UserError):
    """The queue is full."""


class ClosedError(UserError):
    """The engine was closed before the answer was there."""


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    `max_tokens` 0 computes the prompt and nothing else. `key` names the draws together with the
    sampling's seed. `stops` judge the answer by what stands around it, `prefix` and `suffix`;
    `enough`, if given, is asked with the text so far and ends it. `forced` is text the answer must
    begin with and that is not shown, nor are ids counted that spell nothing else. After `budget`
    seconds the answer ends with what there is.
    Keys and values are shared only among requests of one `owner`. With `draft`, tokens are guessed
    from the prompt and from `sources`, ids of other texts, the nearest first; it changes no answer.
    """

    prompt: Prompt
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    key: str = ""
    enough: Callable[[str], bool] | None = None
    stops: Stops = field(default_factory=Stops)
    prefix: str = ""
    suffix: str = ""
    language: str = "python"
    forced: bytes = b""
    priority: Priority = Priority.TYPING
    budget: float | None = None
    owner: str = ""
    draft: bool = True
    sources: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class TokenLogprobs:
    """One generated id: its log-probability, and the likeliest alternatives'."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Completion:
    """One answer. `stop_reason` is "end" when the model closed the span, "stop" when a rule had
    enough (`rule` names it), "length", "time" or "cancelled".

    `tokens` counts generated ids, the end id included, and neither it nor `logprobs` those that
    spell forced text alone; `cached_tokens` those of the prompt that were not computed.
    `truncated`: the text around the cursor did not fit. Times are milliseconds: `prefill_ms` up to
    the first token, `decode_ms` for the rest.
    """

    text: str
    stop_reason: str
    tokens: int
    prompt_tokens: int
    prefill_ms: float
    decode_ms: float
    rule: str | None = None
    cached_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Piece:
    """A part of a streamed answer; the last one carries the whole `completion`."""

    text: str
    completion: Completion | None = None


class Handle:
    """A request under way. Callbacks run in the engine's loop and must return at once."""

    def __init__(self, request: Request, on_piece: Callable[[Piece], None] | None = None) -> None:
        self.request, self.on_piece = request, on_piece
        self.asked = time.perf_counter()
        self.text = ""
        """What was emitted so far."""
        self.completion: Completion | None = None
        self.error: Exception | None = None
        self.cancelled = False
        self.arrival = 0
        self.short: float | None = None
        """Of the engine: which it was to come, and since when no memory is found for it."""
        self._done = threading.Event()
        self._then: list[Callable[[Handle], None]] = []

    def cancel(self) -> None:
        """End within one step; the answer is what there is, with the reason "cancelled"."""
        self.cancelled = True

    @property
    def done(self) -> bool:
        """Whether it ended, one way or another."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; False when the time ran out before."""
        return self._done.wait(seconds)

    def then(self, callback: Callable[[Handle], None]) -> None:
        """Call back at the end, at once if it is past."""
        self._then.append(callback)
        if self.done:
            self._call_back()

    def result(self) -> Completion:
        """The answer of a request that ended; its error is raised."""
        if self.error is not None:
            raise self.error
        assert self.completion is not None
        return self.completion

    def emit(self, piece: Piece) -> None:
        """Of the engine: a piece is final. What the callback raises ends the request."""
        self.text += piece.text
        if self.on_piece is not None:
            self.on_piece(piece)

    def finish(self, completion: Completion | None, error: Exception | None = None) -> None:
        """Of the engine: the request ended. Only the first end counts."""
        if self.done:
            return
        self.completion, self.error = completion, error
        self._done.set()
        self._call_back()

    def _call_back(self) -> None:
        while True:
            try:
                callback = self._then.pop()
            except IndexError:  # none left, or another thread took the last
                return
            try:
                callback(self)
            except Exception as error:
                log.error("a callback of a request that ended raised: %s", traced(error))
