"""The announcement's latency table: a long prompt, a few new tokens, every engine on our weights.

Greedy, `batch` different prompts at once, the cache cold. All engines of a shape are loaded before
the first is timed; they take turns, and the medians are shown beside the machine's floor.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codegen25.bench import roofline, shapes
from codegen25.bench.engines.peers import PEERS as ALL_PEERS
from codegen25.bench.engines.peers import NotRun, Running, start
from codegen25.bench.table import Row, conditions, markdown
from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request

OURS = {"ours int8": "int8", "ours int4": "int4", "ours float32": "float32"}
PEERS = (
    "OpenVINO int8", "llama.cpp Q8_0", "llama.cpp Q4_0", "onnxruntime-genai int4",
    "transformers fp32",
)  # fmt: skip
NEW = (1, 16, 32, 64)


class Timed(Protocol):
    """An engine that writes `new` tokens after each prompt and says how many ms it took."""

    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]: ...


class Ours:
    """Our engine as a peer."""

    def __init__(self, folder: Path, kind: str, threads: int) -> None:
        self.engine = Engine.load(folder, Settings("cpu", kind, threads))
        self.end = frozenset([self.engine.runner.config.vocab_size])

    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """Like `peers.Running.generate`."""
        self.engine.cache.clear()
        begun = time.perf_counter()
        handles = [
            self.engine.submit(Request(Prompt(list(ids), self.end, Layout.CAUSAL), new, Sampling()))
            for ids in prompts
        ]
        for handle in handles:
            self.engine.wait(handle)
        return {"ms": 1000 * (time.perf_counter() - begun)}


def run(
    shapes_: Sequence[str], context: int, batch: int, new: Sequence[int], rounds: int, threads: int,
    peers: Sequence[str] | None, peers_python: str,
) -> None:  # fmt: skip
    """Print the floor's measures and a table a shape."""
    if min(context, batch, rounds, *new) < 1 or threads < 0:
        raise UserError("context, batch, new tokens and rounds are at least 1, threads 0 or more")
    threads = threads or len(os.sched_getaffinity(0))
    chosen = [each for each in (PEERS if peers is None else peers) if each != "none"]
    if unknown := [each for each in chosen if each not in ALL_PEERS]:
        raise UserError(f"peer {unknown[0]!r} is unknown; there are {', '.join(ALL_PEERS)}")
    made = conditions(("numpy", "torch"))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}")
    floor = roofline.measure(threads)
    print(f"\n## The machine\n\n{markdown([floor.row()])}", end="", flush=True)
    for shape in shapes_:
        rows = table(shape, context, batch, rounds, threads, chosen, peers_python, floor, new)
        what = f"{shape}, {batch} prompts of {context:,} tokens"
        print(f"\n## Latency: {what}\n\n{markdown(rows)}", end="", flush=True)


def table(
    shape: str, context: int, batch: int, rounds: int, threads: int, peers: Sequence[str],
    peers_python: str, floor: roofline.Roofline, new: Sequence[int] = NEW,
) -> list[Row]:  # fmt: skip
    """Milliseconds by engine and count of new tokens, the floor's row first."""
    config = shapes.named(shape)
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work) / shape
        shapes.write(folder, config)
        engines: dict[str, Timed | str] = {}
        for name, kind in OURS.items():
            engines[name] = Ours(folder, kind, threads)
        for name in peers:
            engines[name] = _started(
                stack, name, folder, Path(work), peers_python, threads, context
            )
        prompts = _prompts(config, context, batch)
        times = _times(engines, prompts, new, rounds)
    rows: list[Row] = [_floor(floor, config, context, batch, new)]
    rows += [_row(name, engine, times.get(name, {}), new) for name, engine in engines.items()]
    return rows


def _started(
    stack: ExitStack, name: str, folder: Path, work: Path, python: str, threads: int, context: int
) -> Running | str:
    """A peer, or why it can't run."""
    try:
        return stack.enter_context(
            start(name, folder, work, python, threads=threads, context=context + max(NEW) + 16)
        )
    except NotRun as reason:
        return str(reason)


def _prompts(config: ModelConfig, context: int, batch: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, config.vocab_size // 2, context).tolist() for _ in range(batch)]


def _times(
    engines: dict[str, Timed | str], prompts: list[list[int]], new: Sequence[int], rounds: int
) -> dict[str, dict[int, list[float]]]:
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


def _floor(
    floor: roofline.Roofline, config: ModelConfig, context: int, batch: int, new: Sequence[int]
) -> dict[str, Any]:
    prefill, step = floor.prefill(config, context, batch), floor.step(config, context, batch)
    cells = {_column(count): 1000 * (prefill + (count - 1) * step) for count in new}
    return {"engine": "floor", **cells, "a step, ms": 1000 * step}


def _row(
    name: str, engine: Timed | str, times: dict[int, list[float]], new: Sequence[int]
) -> dict[str, Any]:
    if not times:
        reason = engine if isinstance(engine, str) else "no time"
        empty = dict.fromkeys(map(_column, new), "")
        return {"engine": f"{name} (not run: {reason})", **empty, "a step, ms": ""}
    medians = {count: statistics.median(each) for count, each in times.items()}
    first, last = min(new), max(new)
    step = (medians[last] - medians[first]) / max(1, last - first) if last in medians else ""
    cells: dict[str, Any] = {_column(count): medians.get(count, "") for count in new}
    return {"engine": name, **cells, "a step, ms": step}


def _column(count: int) -> str:
    return f"{count} new, ms" if count > 1 else "1 new token, ms"
