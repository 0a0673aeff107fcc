"""Counts and times for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from codegen25.sample.request import Completion

BROKEN_OFF = ("cancelled", "time")
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Of one server. Names begin with `codegen25_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._first = self._histogram("first_token_seconds", "From the question to the first token")
        self._decode = self._histogram("decode_seconds", "From the first token to the last")
        self._request = Histogram(
            "codegen25_request_seconds", "A request's whole time", ("path", "status"),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts")
        self._cached = self._counter("cached_tokens", "Tokens of prompts that were not computed")
        self._generated = self._counter("generated_tokens", "Tokens written")
        self._drafted = self._counter("drafted_tokens", "Tokens guessed ahead")
        self._accepted = self._counter("accepted_tokens", "Guesses that were right")
        self._through = self._counter("typed_through", "Answers known before they were asked for")
        self._stops = Counter(
            "codegen25_answers", "Answers by why they ended", ("reason",), registry=self.registry
        )
        self._events = Counter(
            "codegen25_suggestions", "What became of them", ("event",), registry=self.registry
        )
        self.active = self._gauge("active_requests", "Requests being answered")
        self.waiting = self._gauge("waiting_requests", "Requests in the queue")
        self.slots = self._gauge("cache_sequences", "Sequences whose keys and values are kept")
        self.busy = self._gauge("cache_busy_sequences", "Those of them that a request holds")
        self.cache = self._gauge("cache_bytes", "Memory of keys and values")

    def answered(self, completion: Completion) -> None:
        """An answer ended, one that nobody waits for any more too. For any thread.

        What was broken off before its first token says nothing of how long that takes, nor was its
        prompt computed.
        """
        if completion.tokens or completion.stop_reason not in BROKEN_OFF:
            self._first.observe(completion.prefill_ms / 1000)
            self._decode.observe(completion.decode_ms / 1000)
            self._prompt.inc(completion.prompt_tokens)
            self._cached.inc(completion.cached_tokens)
        self._generated.inc(completion.tokens)
        self._drafted.inc(completion.drafted)
        self._accepted.inc(completion.accepted)
        self._stops.labels(completion.rule or completion.stop_reason).inc()

    def typed_through(self) -> None:
        """An answer was known from an earlier one."""
        self._through.inc()

    def noted(self, event: str) -> None:
        """A client tells what became of a completion: "view", "select" or "dismiss"."""
        self._events.labels(event).inc()

    def requested(self, path: str, status: int, seconds: float) -> None:
        """A request ended; `path` is a route of ours, never what a client wrote."""
        self._request.labels(path, str(status)).observe(seconds)

    def text(self) -> bytes:
        """What Prometheus scrapes."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(f"codegen25_{name}", what, buckets=SECONDS, registry=self.registry)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(f"codegen25_{name}", what, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"codegen25_{name}", what, registry=self.registry)
