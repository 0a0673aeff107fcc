"""What the tables of latency share: engines in turns, and their rows beside the floor's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codegen25.bench.engines.peers import NotRun
from codegen25.bench.roofline import Roofline
from codegen25.config import ModelConfig
from codegen25.infill import Layout, Prompt
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Priority, Request


class Timed(Protocol):
    """An engine that writes `new` tokens after each prompt and says how many ms it took."""

    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]: ...


class Ours:
    """Our engine as a peer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.end = frozenset([engine.runner.config.vocab_size])

    @classmethod
    def load(cls, folder: Path, kind: str, threads: int) -> Ours:
        """On the CPU."""
        return cls(Engine.load(folder, Settings("cpu", kind, threads)))

    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """Like `peers.Running.generate`; also the `step_ms` of the prompt that is read last."""
        self.engine.cache.clear()
        begun = time.perf_counter()
        handles = [self.engine.submit(self._request(ids, new)) for ids in prompts]
        answers = [self.engine.wait(handle) for handle in handles]
        ms = 1000 * (time.perf_counter() - begun)
        last = max(answers, key=lambda each: each.prefill_ms)
        return {"ms": ms, "step_ms": last.decode_ms / max(1, new - 1)}

    def _request(self, ids: Sequence[int], new: int) -> Request:
        prompt = Prompt(list(ids), self.end, Layout.CAUSAL)
        return Request(prompt, new, Sampling(), priority=Priority.BATCH)


def prompts_of(config: ModelConfig, context: int, batch: int) -> list[list[int]]:
    """So many prompts of random ids."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, config.vocab_size // 2, context).tolist() for _ in range(batch)]


def times_of(
    engines: dict[str, Timed | str], prompts: list[list[int]], new: Sequence[int], rounds: int
) -> dict[str, dict[int, list[float]]]:
    """Milliseconds by engine and count, a value a round; the engines take turns."""
    times: dict[str, dict[int, list[float]]] = {}
    for round_ in range(rounds + 1):
        for name, engine in engines.items():
            if isinstance(engine, str):
                continue
            try:
                if not round_:  # unmeasured: pages, caches and code are warm after it
                    engine.generate([ids[:64] for ids in prompts], 4)
                    continue
                for count in new:
                    ms = engine.generate(prompts, count)["ms"]
                    times.setdefault(name, {}).setdefault(count, []).append(ms)
            except NotRun as reason:
                engines[name] = str(reason)
    return times


def floor_row(
    floor: Roofline, config: ModelConfig, context: int, batch: int, new: Sequence[int]
) -> dict[str, Any]:
    """The machine's own row."""
    prefill, step = floor.prefill(config, context, batch), floor.step(config, context, batch)
    cells = {column(count): 1000 * (prefill + (count - 1) * step) for count in new}
    return {"engine": "floor", **cells, "a step, ms": 1000 * step}


def row_of(
    name: str, engine: Timed | str, times: dict[int, list[float]], new: Sequence[int]
) -> dict[str, Any]:
    """An engine's medians, or why it has none."""
    if not times:
        reason = engine if isinstance(engine, str) else "no time"
        empty = dict.fromkeys(map(column, new), "")
        return {"engine": f"{name} (not run: {reason})", **empty, "a step, ms": ""}
    medians = {count: statistics.median(each) for count, each in times.items()}
    first, last = min(new), max(new)
    step = (medians[last] - medians[first]) / max(1, last - first) if last in medians else ""
    cells: dict[str, Any] = {column(count): medians.get(count, "") for count in new}
    return {"engine": name, **cells, "a step, ms": step}


def column(count: int) -> str:
    """The column of a count of new tokens."""
    return f"{count} new, ms" if count > 1 else "1 new token, ms"
