"""What tests of the engine share: a clock of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from codegen25.sample import admission, answer, draft_model, engine, request, scheduler


def ticking(monkeypatch: pytest.MonkeyPatch, tick: float) -> SimpleNamespace:
    """A clock that goes on by `tick` seconds each time it is read; `now` sets it."""
    clock = SimpleNamespace(now=1000.0)

    def perf_counter() -> float:
        clock.now += tick
        return float(clock.now)

    clock.perf_counter = perf_counter
    for module in (admission, answer, draft_model, engine, request, scheduler):
        monkeypatch.setattr(module, "time", clock)
    return clock
