"""Clients who ask much and leave at once, and readers that are stopped: what a server must bear."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from codegen25.bench.keystrokes import Place
from codegen25.bench.serving import bodies
from codegen25.bench.serving.http import Target
from codegen25.bench.serving.server import Server
from codegen25.bench.serving.typists import leave, one_by_one
from codegen25.sample.engine import Engine

LEAVERS, LEAVE_SECONDS = 300, 10.0
"""Clients a second that hang up, and for how long they come."""
READERS, QUESTIONS = 4, 50
PATIENCE = 25.0
"""Seconds for all that stopped readers asked for to be computed; they are given up after 30."""
READER = """
import socket, sys
made = socket.socket()
made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
made.connect((sys.argv[1], int(sys.argv[2])))
made.sendall(sys.stdin.buffer.read())
print(made.recv(1), flush=True)
while made.recv(1): pass
"""


def hurt(server: Server, engine: Engine, place: Place) -> dict[str, Any]:
    """What is left of those who leave, and who is answered beside readers that are stopped."""
    questions = bodies.distinct(engine, place, round(LEAVERS * LEAVE_SECONDS))
    left, amid = asyncio.run(leave(server.target, questions, LEAVERS, LEAVE_SECONDS))
    return {
        "hung up a second": left,
        "amid an answer, in all": amid,
        **_beside_stopped(server, bodies.large(engine, place, READERS), place),
        **{f"{what} then": count for what, count in server.left().items()},
    }


def _beside_stopped(server: Server, large: Sequence[bytes], place: Place) -> dict[str, Any]:
    # Another suffix: at the old one's keystrokes the answers are known.
    asked = bodies.typed(replace(place, suffix=f"{place.suffix}\n# again\n"), stream=False)
    before = server.ended()
    readers: list[subprocess.Popen[bytes]] = []
    try:
        for body in large:
            readers.append(_stopped(server.target, body))
        answers = asyncio.run(one_by_one(server.target, asked[:QUESTIONS]))
        computed = _computed(server)
        ended = server.ended() - before - len(answers)
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    return {
        "streams held up": len(large) - ended if computed else "still computing",
        "unanswered": sum(answer.status != 200 for answer in answers),
        "answered beside them, p50 ms": 1000 * statistics.median(a.whole for a in answers),
    }


def _stopped(target: Target, body: bytes) -> subprocess.Popen[bytes]:
    """A reader with hardly a buffer, stopped after its first byte."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, target.host, str(target.port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert reader.stdin is not None and reader.stdout is not None
    reader.stdin.write(target.request(body))
    reader.stdin.close()
    reader.stdout.readline()
    os.kill(reader.pid, signal.SIGSTOP)
    os.waitpid(reader.pid, os.WUNTRACED)
    return reader


def _computed(server: Server) -> bool:
    """Whether nothing is left to compute within a while."""
    end = time.perf_counter() + PATIENCE
    while (busy := server.under_way()) and time.perf_counter() < end:
        time.sleep(0.1)
    return not busy
