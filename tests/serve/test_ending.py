"""The command as it is run: it is told to end, and what is under way ends well or is told so."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from codegen25.serve import command

SLOW = """
import sys, time
from codegen25 import cli
from codegen25.sample.engine import Engine
from codegen25.serve import command
command.GRACE_SECONDS = float(sys.argv.pop(1))
load = Engine.load
def slowed(*arguments):
    engine = load(*arguments)
    forward = engine.runner.forward
    def forward_slowly(runs):
        time.sleep(0.02)
        return forward(runs)
    engine.runner.forward = forward_slowly
    return engine
Engine.load = slowed
cli.main()
"""
"""The command, 20 ms a token, and its grace in seconds."""
SAMPLED = {"prompt": "x = [", "temperature": 1.0, "seed": 1}


class Process:
    """A server in a process of its own."""

    def __init__(self, start: list[str], log: Path) -> None:
        order = [sys.executable, *start, "serve", "--port", "0", "--threads", "1", "--verbose"]
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(order, stderr=file)
        end = time.monotonic() + 60
        while "ready in" not in (said := log.read_text()):
            assert self.process.poll() is None and time.monotonic() < end, said
            time.sleep(0.02)
        self.port = urlsplit(said.split()[-1]).port or 0

    def ask(self, path: str, **body: object) -> socket.socket:
        raw = json.dumps(SAMPLED | body).encode()
        made = socket.create_connection(("127.0.0.1", self.port))
        made.settimeout(60)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
        made.sendall(head.encode() + raw)
        return made

    def taken(self, count: int) -> None:
        """Wait until so many questions are under way: one that is not read yet is hung up on."""
        end, under_way = time.monotonic() + 20, 0
        while under_way < count:
            assert time.monotonic() < end
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
                said = re.findall(
                    r"^codegen25_(?:active|waiting)_requests(?:{.*})? (\d+)",
                    answer.read().decode(),
                    re.M,
                )
            under_way = sum(map(int, said))

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)


@contextmanager
def running(start: list[str], tmp_path: Path) -> Iterator[Process]:
    made = Process(start, tmp_path / "log")
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def slow(grace: float) -> list[str]:
    return ["-c", SLOW, str(grace)]


def rest(made: socket.socket) -> str:
    with made:
        parts = []
        while part := made.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def data(text: str) -> list[str]:
    """The data of events in a chunked body that came to its end."""
    assert text.endswith("\r\n0\r\n\r\n")
    return [line[6:] for line in text.splitlines() if line.startswith("data: ")]


def test_what_is_short_is_answered_whole(tmp_path: Path) -> None:
    with running(slow(30), tmp_path) as server:
        stream = server.ask("/v1/completions", stream=True, max_tokens=40)
        first = stream.recv(20).decode()
        whole = server.ask("/v1/completions", max_tokens=20)
        server.taken(2)
        server.end()
        *pieces, last = data(first + rest(stream))
        assert last == "[DONE]"
        assert json.loads(pieces[-1])["choices"][0]["finish_reason"] == "length"
        assert '"completion_tokens":20' in rest(whole)
        assert server.process.wait(20) == 0
        # Nobody's text is in what it says of its requests.
        said = server.log.read_text()
        assert "POST /v1/completions 200" in said and " in " in said and "x = [" not in said


def test_what_is_long_is_told_that_the_server_ends(tmp_path: Path) -> None:
    long = {"max_tokens": 400, "options": {"num_predict": 400, "temperature": 1, "seed": 1}}
    with running(slow(0.5), tmp_path) as server:
        events = server.ask("/v1/completions", stream=True, **long)
        lines = server.ask("/api/generate", **long)
        started = [made.recv(20).decode() for made in (events, lines)]
        whole, ollama = (
            server.ask(path, stream=False, **long) for path in ("/v1/completions", "/api/generate")
        )
        server.taken(4)
        server.end()
        *pieces, last = data(started[0] + rest(events))
        assert 0 < len(pieces) < 400 and "[DONE]" not in pieces
        assert json.loads(last)["error"] == {
            "message": "the server ends", "type": "unavailable_error", "param": None, "code": 503
        }  # fmt: skip
        text = started[1] + rest(lines)
        assert text.endswith('{"error":"the server ends"}\n\r\n0\r\n\r\n')
        head, _, body = rest(whole).partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 503") and "retry-after: 1" in head
        assert json.loads(body)["error"]["message"] == "the server ends"
        assert '{"error":"the server ends"}' in rest(ollama)
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_idle_leaves_at_once(tmp_path: Path, number: int) -> None:
    with running(["-m", "codegen25"], tmp_path) as server:
        kept = socket.create_connection(("127.0.0.1", server.port))
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"  # it was taken, and is kept open
        while not kept.recv(1000).endswith(b"}"):
            pass
        server.end(number)
        assert server.process.wait(command.GRACE_SECONDS) == 0
        assert kept.recv(10) == b""
        kept.close()
