"""Serving: people typing all at once, beside llama.cpp's server under the same load.

Everybody types real code, character by character, and asks after each; who has no answer when the
next character comes hangs up and asks again, as editors do. The same bodies in the same order go to
both servers. llama.cpp gets ids in the plain layout, as its clients do: the tokenizer's work is not
charged to it. Times are those of all questions but the refused ones; an answer that was given up
counts as come just then.

Before that one person types alone, each key asked of our server and of an engine in this process;
after it come clients who leave at once and readers that are stopped.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codegen25.bench.engines.peers import NotRun, start
from codegen25.bench.keystrokes import Place, places
from codegen25.bench.serving import bodies
from codegen25.bench.serving.bare import Bare
from codegen25.bench.serving.goals import checked
from codegen25.bench.serving.http import Target
from codegen25.bench.serving.hurt import hurt
from codegen25.bench.serving.server import Server, ours, watched
from codegen25.bench.serving.typists import Seen, one_by_one, quantile, type_all
from codegen25.bench.table import Row, conditions, markdown
from codegen25.errors import UserError
from codegen25.models import resolve
from codegen25.sample.engine import Engine, Settings

ALONE = 200
"""Keystrokes of the one who types alone."""
WARM_SECONDS = 15.0
PEER = "llama.cpp Q8_0"


def run(
    model: str, typists: int, seconds: float, interval: float, threads: int, peers_python: str
) -> None:
    """Print the tables."""
    if typists < 1 or seconds <= 0 or interval <= 0 or threads < 0:
        raise UserError("typists, seconds and interval are above 0, threads 0 or more")
    threads = threads or len(os.sched_getaffinity(0))
    folder = resolve(model)
    engine = Engine.load(folder, Settings("cpu", "int8", threads))
    found = places(engine.tokenizer, typists, bodies.KEYS, engine.context)
    made = conditions(("fastapi", "uvicorn"))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}")
    with ours(model, threads) as server:
        alone = _alone(server, engine, found[0])
        asked = [bodies.typed(each, stream=True) for each in found]
        row = _typed("ours", server, asked, seconds, interval)
        through = int(server.metrics()["codegen25_typed_through_total"])
        after = {**server.left(), "typed through": through, **hurt(server, engine, found[0])}
    rows = [row, *_peers(folder, engine, found, row, seconds, interval, threads, peers_python)]
    what = f"{typists} people, a character every {interval:g} s, {seconds:g} s"
    print(f"\n## {what}\n\n{markdown(rows)}")
    print(f"## One by one\n\n{markdown([alone])}")
    print(f"## Afterwards\n\n{markdown([after])}")
    print(f"## Goals\n\n{markdown(checked({**row, **alone, **after}))}", end="")


def _alone(server: Server, engine: Engine, place: Place) -> Row:
    bare, asked = Bare(engine), bodies.typed(place, stream=False)[:ALONE]
    return bare.row(asyncio.run(one_by_one(server.target, asked, bare.ask)))


def _peers(
    folder: Path, engine: Engine, found: Sequence[Place], ours: Row, seconds: float,
    interval: float, threads: int, python: str,
) -> list[Row]:  # fmt: skip
    """The rows of llama.cpp's server; one that says why, if it can't be run."""
    rows: list[Row] = []
    try:
        with ExitStack() as stack:
            work = stack.enter_context(tempfile.TemporaryDirectory())
            peer = stack.enter_context(
                start(PEER, folder, Path(work), python, threads=threads,
                      context=engine.context, slots=len(found))
            )  # fmt: skip
            target = Target("127.0.0.1", peer.about["port"], "/completion")
            for name, body in ((PEER, bodies.plain), (f"{PEER}, our layout", bodies.anchored)):
                asked = [body(engine, each) for each in found]
                rows.append(_typed(name, Server(target, peer.pid), asked, seconds, interval))
    except NotRun as reason:
        rows.append({**dict.fromkeys(ours, ""), "server": f"{PEER} (not run: {reason})"})
    return rows


def _typed(
    name: str, server: Server, asked: Sequence[Sequence[bytes]], seconds: float, interval: float
) -> dict[str, Any]:
    asyncio.run(type_all(server.target, asked, WARM_SECONDS, interval))
    with watched(server.megabytes, 1.0) as memory:
        seen = asyncio.run(type_all(server.target, asked, seconds, interval))
    return _row(name, seen, seconds, memory)


def _row(name: str, seen: Seen, seconds: float, memory: Sequence[float]) -> dict[str, Any]:
    asked = seen.answered + seen.late + seen.busy + sum(seen.errors.values())
    return {
        "server": name,
        "asked/s": asked / seconds,
        "answered/s": seen.answered / seconds,
        "too late %": 100 * seen.late / max(1, asked),
        "refused": seen.busy,
        "first text p50, ms": 1000 * quantile(seen.firsts, 0.5),
        "p95, ms": 1000 * quantile(seen.firsts, 0.95),
        "whole p50, ms": 1000 * quantile(seen.wholes, 0.5),
        "errors": ", ".join(f"{n} {what}" for what, n in seen.errors.items()) or 0,
        "memory, MB": max(memory) if memory else "",
        "memory growth %": growth(memory) if len(memory) > 1 else "",
    }


def growth(memory: Sequence[float]) -> float:
    """By how many percent the second half's peak is above the first's: until then caches, which
    have a bound, fill."""
    half = len(memory) // 2
    return 100 * (max(memory[half:]) / max(memory[:half]) - 1)
