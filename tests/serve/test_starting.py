"""The command while it starts: what it says, and who may ask by then."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

IMPORTS = 0.7
GATED = f"""
import sys, time
from pathlib import Path
time.sleep({IMPORTS})
from codegen25 import cli
from codegen25.sample.engine import Engine
gate, start = Path(sys.argv.pop(1)), Engine.start
def gated(self):
    while not gate.exists():
        time.sleep(0.01)
    start(self)
Engine.start = gated
cli.main()
"""
"""The command, whose imports take a while, and whose engine starts when a file is there."""
ASK = {"prompt": "x = ", "max_tokens": 2}


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        found: int = made.getsockname()[1]
        return found


@contextmanager
def starting(gate: Path, log: Path) -> Iterator[str]:
    """The address of a server that waits for the gate."""
    port = free_port()
    order = [sys.executable, "-c", GATED, str(gate), "serve", "--port", f"{port}", "--threads", "1"]
    with log.open("w") as file:
        process = subprocess.Popen(order, stderr=file)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def said(log: Path, what: str) -> str:
    end = time.monotonic() + 60
    while what not in (text := log.read_text()):
        assert time.monotonic() < end, text
        time.sleep(0.01)
    return text


def asked(url: str, path: str, body: object = None) -> httpx.Response:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        return client.get(path) if body is None else client.post(path, json=body)


def test_it_is_ready_when_it_says_so_and_busy_before(tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    with starting(gate, log) as url:
        said(log, "loading")
        for path, body in (("/health", None), ("/v1/models", None), ("/v1/completions", ASK)):
            loading = asked(url, path, body)
            assert (loading.status_code, loading.headers["retry-after"]) == (503, "1")
            assert "loading" in loading.json()["error"]["message"]
        assert "ready" not in log.read_text()
        gate.touch()
        text = said(log, "ready in")
        assert asked(url, "/v1/completions", ASK).status_code == 200
        assert asked(url, "/health").json() == {"status": "ok"}
    found = re.search(r"ready in ([\d.]+) s: (\S+)/\n", text)
    assert found and found[2] == url
    assert float(found[1]) >= IMPORTS  # since the process began
