"""A server under load, from outside: its memory, and what it says of itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from codegen25.bench.serving.http import Target
from codegen25.errors import UserError

WHILE = 20.0
"""Seconds after which nothing may be left of a load; a server that is behind has much to read."""


@dataclass(frozen=True)
class Server:
    """A running server. All but its memory is asked of ours alone."""

    target: Target
    pid: int

    def megabytes(self) -> float:
        """Resident memory."""
        return psutil.Process(self.pid).memory_info().rss / 1e6

    def metrics(self) -> dict[str, float]:
        """Its metrics now, by names with their labels."""
        url = f"http://{self.target.host}:{self.target.port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as response:
            text = response.read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        return {name: float(value) for name, value in lines}

    def under_way(self) -> int:
        """Answers that are written or wait to be."""
        found = self.metrics()
        return int(found["codegen25_active_requests"] + found["codegen25_waiting_requests"])

    def ended(self) -> int:
        """Requests for completions that ended, one way or another."""
        name = f'codegen25_request_seconds_count{{path="{self.target.path}"'
        return int(sum(value for key, value in self.metrics().items() if key.startswith(name)))

    def left(self) -> dict[str, int]:
        """What is left a while after a load: nothing, as soon as nothing is."""
        end = time.perf_counter() + WHILE
        while True:
            found = self.metrics()
            left = {
                "requests left": int(found["codegen25_active_requests"]),
                "waiting left": int(found["codegen25_waiting_requests"]),
                "slots left": int(found["codegen25_cache_busy_sequences"]),
            }
            if not any(left.values()) or time.perf_counter() > end:
                return left
            time.sleep(0.2)


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


@contextlib.contextmanager
def watched(read: Callable[[], float], seconds: float) -> Iterator[list[float]]:
    """What `read` says every so many seconds while the block runs."""
    found, over = list[float](), threading.Event()

    def watch() -> None:
        while not over.wait(seconds):
            found.append(read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
