"""Serving: people typing all at once, beside llama.cpp's server under the same load.

Everybody types real code, character by character, and asks after each; who has no answer when the
next character comes hangs up and asks again, as editors do. The same bodies in the same order go to
both servers. llama.cpp gets ids in the plain layout, as its clients do: the tokenizer's work is not
charged to it. Times are those of all questions but the refused ones; an answer that was given up
counts as come just then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from codegen25.bench.engines.peers import NotRun, start
from codegen25.bench.keystrokes import Place, places
from codegen25.bench.serving.http import Target
from codegen25.bench.serving.typists import Seen, leave, one_by_one, quantile, type_all
from codegen25.bench.table import Row, conditions, markdown
from codegen25.errors import UserError
from codegen25.models import resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.session import Options, Session

NEW = 12
KEYS = 300
WARM_SECONDS = 15.0
LEAVERS, LEAVE_SECONDS = 200, 10.0
"""Clients a second that hang up at once, and for how long they come."""
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
    found = places(engine.tokenizer, typists, KEYS, engine.context)
    made = conditions(("fastapi", "uvicorn"))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}")
    with ours(model, threads) as server:
        spent = asyncio.run(one_by_one(server.target, _bodies(found[0], False)[:200], _inside))
        row = _typed("ours", server, [_bodies(each, True) for each in found], seconds, interval)
        after = server.metrics()
        hurt = _hurt(server, _bodies(found[0], False))
    rows: list[Row] = [row]
    try:
        with ExitStack() as stack:
            work = stack.enter_context(tempfile.TemporaryDirectory())
            peer = stack.enter_context(
                start(PEER, folder, Path(work), peers_python, threads=threads,
                      context=engine.context, slots=typists)
            )  # fmt: skip
            target = Target("127.0.0.1", peer.about["port"], "/completion")
            for name, laid_out in ((PEER, _plain), (f"{PEER}, our layout", _anchored)):
                bodies = [laid_out(engine, each) for each in found]
                rows.append(_typed(name, Server(target, peer.pid), bodies, seconds, interval))
    except NotRun as reason:
        rows.append({**dict.fromkeys(row, ""), "server": f"{PEER} (not run: {reason})"})
    what = f"{typists} people, a character every {interval:g} s, {seconds:g} s"
    print(f"\n## {what}\n\n{markdown(rows)}")
    print(f"## One by one\n\n{markdown([_overhead(spent)])}")
    print(f"## Afterwards\n\n{markdown([{**after, **hurt}])}", end="")


@dataclass(frozen=True)
class Server:
    """A running server."""

    target: Target
    pid: int

    def megabytes(self) -> float:
        """Resident memory."""
        return psutil.Process(self.pid).memory_info().rss / 1e6

    def metrics(self) -> dict[str, Any]:
        """What is left under way a moment after the load."""
        time.sleep(2)
        url = f"http://{self.target.host}:{self.target.port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as response:
            text = response.read().decode()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        return {
            "requests left": int(float(values["codegen25_active_requests"])),
            "waiting left": int(float(values["codegen25_waiting_requests"])),
            "typed through": int(float(values["codegen25_typed_through_total"])),
        }


@contextlib.contextmanager
def ours(model: str, threads: int) -> Iterator[Server]:
    """`codegen25 serve` in a process of its own."""
    order = [sys.executable, "-m", "codegen25", "serve", "--model", model, "--port", "0",
             "--threads", str(threads)]  # fmt: skip
    with subprocess.Popen(order, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "ready in" in line:
                    url = urlsplit(line.split()[-1])
                    assert url.hostname and url.port
                    yield Server(Target(url.hostname, url.port, "/v1/completions"), process.pid)
                    return
            raise UserError(f"codegen25 serve ended: exit code {process.wait()}")
        finally:
            process.terminate()
            process.stderr.close()
            process.wait(30)


def _typed(
    name: str, server: Server, bodies: Sequence[Sequence[bytes]], seconds: float, interval: float
) -> dict[str, Any]:
    asyncio.run(type_all(server.target, bodies, WARM_SECONDS, interval))
    memory, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            memory.append(server.megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seen = asyncio.run(type_all(server.target, bodies, seconds, interval))
    over.set()
    watcher.join()
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
        "errors": ", ".join(f"{n} {what}" for what, n in seen.errors.items()) or "0",
        "memory, MB": max(memory) if memory else "",
        "its growth %": 100 * (max(memory) / min(memory) - 1) if memory else "",
    }


def _overhead(spent: Sequence[float]) -> Row:
    cuts = statistics.quantiles(spent, n=20)
    return {
        "questions": len(spent),
        "HTTP beyond the engine, p50 ms": statistics.median(spent),
        "p95 ms": cuts[18],
    }


def _hurt(server: Server, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Those who leave at once, and readers that are stopped: does the server still answer?"""
    begun = time.perf_counter()
    left = asyncio.run(leave(server.target, bodies[0], LEAVERS, LEAVE_SECONDS))
    rate = left / (time.perf_counter() - begun)
    readers = [_stopped(server.target, bodies[0]) for _ in range(8)]
    try:
        spent = asyncio.run(one_by_one(server.target, bodies[:50], lambda _: 0.0))
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    return {
        "hung up a second": rate,
        "answers with 8 stopped readers, p50 ms": statistics.median(spent),
        **{f"{key} then": value for key, value in server.metrics().items() if "left" in key},
    }


READER = """
import socket, sys
made = socket.create_connection((sys.argv[1], int(sys.argv[2])))
made.sendall(sys.stdin.buffer.read())
print(made.recv(1), flush=True)
while made.recv(1): pass
"""


def _stopped(target: Target, body: bytes) -> subprocess.Popen[bytes]:
    """A reader of a long stream that is stopped after its first byte."""
    asked = {**json.loads(body), "stream": True, "session": False, "max_tokens": 500, "stop": []}
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, target.host, str(target.port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert reader.stdin is not None and reader.stdout is not None
    reader.stdin.write(target.request(json.dumps(asked).encode()))
    reader.stdin.close()
    reader.stdout.readline()
    os.kill(reader.pid, signal.SIGSTOP)
    return reader


def _bodies(place: Place, stream: bool) -> list[bytes]:
    return [
        json.dumps({
            "prompt": prefix, "suffix": suffix, "max_tokens": NEW, "temperature": 0,
            "session": True, "stream": stream,
        }).encode()
        for prefix, suffix in place.keystrokes(KEYS)
    ]  # fmt: skip


def _plain(engine: Engine, place: Place) -> list[bytes]:
    """As every client asks llama.cpp: typing moves the suffix."""
    prompts = (engine.prompt(*each, max_tokens=NEW) for each in place.keystrokes(KEYS))
    return [_for_llama(prompt.ids) for prompt in prompts]


def _anchored(engine: Engine, place: Place) -> list[bytes]:
    """As our server lays a prompt out: typing only appends."""
    session = Session(engine, Options(NEW, heal=False))
    return [_for_llama(session.request(*each).prompt.ids) for each in place.keystrokes(KEYS)]


def _for_llama(ids: list[int]) -> bytes:
    asked = {"prompt": ids, "n_predict": NEW, "temperature": 0, "cache_prompt": True}
    return json.dumps({**asked, "stream": True}).encode()


def _inside(body: bytes) -> float:
    timings = json.loads(body)["timings"]
    spent: float = timings["prompt_ms"] + timings["predicted_ms"]
    return spent
