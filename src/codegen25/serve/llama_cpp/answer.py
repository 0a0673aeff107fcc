"""One answer under way: llama.cpp's events become text, our stop machine judges it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from codegen25.sample.request import Completion, Piece, Request, TokenLogprobs
from codegen25.sample.stopping import Stopper


class Answer:
    """Made when a request comes; `reason` is set once it is over.

    llama.cpp shows whole characters only: one spelled by several tokens comes with the last of
    them, and so do its log-probabilities.
    """

    def __init__(
        self, request: Request, on_piece: Callable[[Piece], None] | None = None,
        on_end: Callable[[Completion], None] | None = None,
    ) -> None:  # fmt: skip
        self.request, self._on_piece, self._on_end = request, on_piece, on_end
        self.reason: str | None = None
        self._rule: str | None = None
        self._asked = time.perf_counter()
        self._first: float | None = None
        self._written = self._given = self._cached = 0
        self._text = ""
        self._logprobs: list[TokenLogprobs] = []
        self._hidden = len(request.forced.decode())
        self._stopper = Stopper(request.stops, request.prefix, request.suffix, request.language)

    def take(self, event: Mapping[str, Any]) -> bool:
        """Go on by one event; whether the answer is over."""
        if self._first is None:
            self._first = time.perf_counter()
        self._cached = event.get("timings", {}).get("cache_n", self._cached)
        if not self.request.max_tokens:  # llama.cpp writes a token all the same
            self.reason = "length" if event.get("stop") else None
            return self.reason is not None
        text = event.get("content") or ""
        self._count(event, text)
        self._push(text)
        if self.reason is None:
            self.reason = self._ended(event)
        return self.reason is not None

    def _count(self, event: Mapping[str, Any], text: str) -> None:
        written = event.get("tokens_predicted", self._written)
        if 0 < len(text) <= self._hidden:  # given text alone, which is no answer
            self._given += written - self._written
            self._logprobs.clear()
        else:
            self._logprobs += map(_logprobs, event.get("completion_probabilities") or ())
        self._written = written

    def finish(self, reason: str) -> Completion:
        """Show what was held back; the whole answer."""
        rest = self._stopper.finish() if reason in ("end", "length", "time") else ""
        end = time.perf_counter()
        first = self._first or end
        completion = Completion(
            text=self._text + rest,
            stop_reason=reason,
            tokens=self._written - self._given,
            prompt_tokens=len(self.request.prompt.ids),
            prefill_ms=round(1000 * (first - self._asked), 2),
            decode_ms=round(1000 * (end - first), 2),
            rule=self._rule or self._stopper.reason,
            cached_tokens=self._cached,
            logprobs=tuple(self._logprobs),
            truncated=self.request.prompt.cut,
        )
        if self._on_end is not None:
            self._on_end(completion)
        if self._on_piece is not None:
            self._on_piece(Piece(rest, completion))
        return completion

    def _ended(self, event: Mapping[str, Any]) -> str | None:
        if not self.request.prompt.ends.isdisjoint(event.get("tokens") or ()):
            return "end"
        if event.get("stop"):
            return "end" if event.get("stop_type") == "eos" else "length"
        return None

    def _push(self, text: str) -> None:
        if self._hidden:
            cut = min(self._hidden, len(text))
            self._hidden -= cut
            text = text[cut:]
        if not text:
            return
        if final := self._stopper.push(text):
            self._text += final
            if self._on_piece is not None:
                self._on_piece(Piece(final))
        if self._stopper.reason is not None:
            self.reason, self._rule = "stop", self._stopper.reason
        elif self.request.enough is not None and self.request.enough(self._text):
            self.reason, self._rule = "stop", "enough"


def _logprobs(entry: Mapping[str, Any]) -> TokenLogprobs:
    top = tuple((each["id"], _number(each["logprob"])) for each in entry["top_logprobs"])
    return TokenLogprobs(entry["id"], _number(entry["logprob"]), top)


def _number(value: float | None) -> float:
    """JSON has no infinity: null is what can't be."""
    return -math.inf if value is None else value
