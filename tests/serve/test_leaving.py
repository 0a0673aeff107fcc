"""Clients that leave, stop reading or come too many."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
import uvicorn

from codegen25.sample import scheduler
from codegen25.sample.request import Handle
from codegen25.sample.runner import Run
from codegen25.serve import command, connection, guard, reply
from serving import Running, engine, serving

LONG = {"prompt": "x = [", "max_tokens": 400, "temperature": 1.0, "stop": [], "seed": 3}
"""A question whose answer does not end before its length does."""
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"


def post(port: int, body: dict, path: str = "/v1/completions", buffer: int = 0) -> socket.socket:
    raw = json.dumps(body).encode()
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(("127.0.0.1", port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n"
    made.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + raw)
    return made


def within(seconds: float, seen: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not (true := seen()) and time.monotonic() < end:
        time.sleep(0.005)
    return true


@pytest.fixture
def asked(server: Running, monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """All requests that reach the engine."""
    found: list[Handle] = []
    submit = server.engine.submit

    def noted(*arguments) -> Handle:  # type: ignore[no-untyped-def]
        found.append(submit(*arguments))
        return found[-1]

    monkeypatch.setattr(server.engine, "submit", noted)
    return found


def reasons(asked: list[Handle]) -> set[str]:
    assert within(60, lambda: all(handle.done for handle in asked))
    return {handle.result().stop_reason for handle in asked}


def test_the_long_question_is_long(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json=LONG).json()
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_request(
    server: Running, asked: list[Handle], stream: bool
) -> None:
    for i in range(20):  # at any moment of a piece's way to it
        made = post(server.port, {**LONG, "stream": stream})
        assert within(5, lambda: server.engine.requests != (0, 0))
        time.sleep(i / 4000)
        made.close()
        assert server.idle(5)
    assert reasons(asked) == {"cancelled"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_while_its_prompt_is_computed(
    server: Running, asked: list[Handle], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    runner, passes = server.engine.runner, list[int]()
    forward = runner.forward

    def slow(runs: list[Run]) -> np.ndarray:
        passes.append(sum(len(run.ids) for run in runs))
        time.sleep(0.1)
        return forward(runs)

    monkeypatch.setattr(runner, "forward", slow)
    monkeypatch.setattr(scheduler, "MOST_CHUNK", scheduler.LEAST_CHUNK)
    words = " ".join(f"name_{stream}_{i}" for i in range(90))
    made = post(server.port, {**LONG, "prompt": words, "max_tokens": 32, "stream": stream})
    assert within(10, lambda: len(passes) >= 3)
    made.close()
    then = len(passes)
    assert server.idle(10)
    assert len(passes) - then <= 1
    assert sum(passes) < len(asked[-1].request.prompt.ids) - 2 * scheduler.LEAST_CHUNK
    assert reasons(asked) == {"cancelled"}


def test_a_thousand_clients_that_leave_hold_nothing(server: Running, asked: list[Handle]) -> None:
    for i in range(1000):
        post(server.port, {**LONG, "stream": bool(i % 2)}).close()
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        assert client.get("/health").status_code == 200
        end = time.monotonic() + 60  # a thousand connections are all that it takes at once
        while (status := client.get("/v1/models").status_code) == 503 and time.monotonic() < end:
            time.sleep(0.1)
        assert status == 200
    assert server.idle(60)
    assert reasons(asked) <= {"cancelled"}
    assert not any(slot.busy for slot in server.engine.cache.slots)


@pytest.fixture(scope="module")
def commanded() -> Iterator[tuple[uvicorn.Server, int]]:
    """A server as the command makes it, and its port."""
    servers: list[uvicorn.Server] = []
    ports: list[int] = []

    class Kept(uvicorn.Server):
        def run(self, sockets: list[socket.socket] | None = None) -> None:
            assert sockets
            sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            servers.append(self)
            ports.append(sockets[0].getsockname()[1])
            super().run(sockets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn, "Server", Kept)
        thread = threading.Thread(target=command.run, args=(command.Options(port=0),), daemon=True)
        thread.start()
        assert within(20, lambda: bool(servers) and servers[0].started)
        assert within(20, lambda: status(ports[0]) == 200)
        yield servers[0], ports[0]
        servers[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def got(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)


def status(port: int) -> int:
    return got(port, "/health").status_code


def answered(made: socket.socket) -> bytes:
    """A small JSON answer, which may come in pieces."""
    made.settimeout(10)
    text = b""
    while not text.endswith(b"}") and (part := made.recv(4096)):
        text += part
    return text


def ended(made: socket.socket) -> bool:
    """Whether the server has hung up, whatever it said before."""
    made.settimeout(10)
    with contextlib.suppress(ConnectionResetError):
        while made.recv(65536):
            pass
    return True


@pytest.mark.parametrize("path", ["/v1/completions", "/tokenize"])
def test_a_reader_that_stops_is_hung_up_on(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, path: str,
) -> None:  # fmt: skip
    """Nobody waits for it, and its connection is gone though it stays."""
    server, port = commanded
    monkeypatch.setattr(reply, "SEND_SECONDS", 1.5)
    connections, paused = server.server_state.connections, set()

    def all_seen() -> bool:
        paused.update(each for each in list(connections) if each.flow.write_paused)
        return len(paused) == 4

    body = {**LONG, "stream": True, "n": 8, "max_tokens": 100, "content": "x " * 50_000}
    with caplog.at_level(logging.WARNING):
        stuck = [post(port, body, path, buffer=2048) for _ in range(4)]
        assert within(20, all_seen)  # one after the other, where they are tokenized
        assert status(port) == 200
        assert within(20, lambda: not any(each.flow.write_paused for each in connections))
        assert within(5, lambda: not connections)
    assert not [each for each in caplog.records if each.name.startswith("uvicorn")]
    for each in stuck:
        each.close()


def test_a_slow_reader_gets_its_answer(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "SEND_SECONDS", 1.5)
    made = post(commanded[1], {"content": "x " * 20_000}, "/tokenize", buffer=2048)
    text = b""
    with made:
        for _ in range(8):
            time.sleep(0.3)
            text += made.recv(8192)
        while not text.endswith(b"]}") and (part := made.recv(65536)):
            text += part
    assert len(json.loads(text.partition(b"\r\n\r\n")[2])["tokens"]) >= 20_000


def test_who_says_nothing_is_hung_up_on(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", commanded[1])) as made:
        assert ended(made)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("said", [b"G", HEAD])
def test_who_asks_nothing_is_hung_up_on(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch, said: bytes, first: bool
) -> None:
    server, port = commanded
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port)) as made:
        if first:
            made.sendall(GET)
            assert answered(made).startswith(b"HTTP/1.1 200")
        made.sendall(said)
        assert ended(made)
    assert within(5, lambda: not server.server_state.connections)


def test_a_connection_is_kept_between_requests(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", commanded[1])) as made:
        for _ in range(3):
            made.sendall(GET)
            assert answered(made).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)


def test_a_body_that_does_not_come_is_not_awaited(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    for sent in (b"Content-Length: 20\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{"):
        with socket.create_connection(("127.0.0.1", commanded[1])) as made:
            made.sendall(HEAD + sent)
            said = made.recv(4096)
            assert said.startswith(b"HTTP/1.1 408") and b"connection: close" in said
            assert ended(made)


def test_connections_are_counted(
    commanded: tuple[uvicorn.Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, port = commanded
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 2)
    assert within(5, lambda: not server.server_state.connections)
    assert got(port, "/v1/models").status_code == 200
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    assert within(5, lambda: len(server.server_state.connections) == 2)
    for path in ("/v1/models", "/api/tags"):
        refused = got(port, path)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["connection"] == "close"
        error = refused.json()["error"]  # Ollama's clients take a text
        assert "connections" in (error if path.startswith("/api/") else error["message"])
    assert status(port) == 200
    for each in idle:
        each.close()
    assert within(5, lambda: not server.server_state.connections)
    assert got(port, "/v1/models").status_code == 200


def test_a_full_queue_says_when_to_come_again() -> None:
    with serving({"m": engine()}, queue=8) as running:
        statuses: list[tuple[int, str]] = []

        def ask() -> None:
            with httpx.Client(base_url=running.url, timeout=120, trust_env=False) as client:
                response = client.post("/v1/completions", json={**LONG, "max_tokens": 400, "n": 16})
                statuses.append((response.status_code, response.headers.get("retry-after", "")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        assert (503, "1") in statuses and (200, "") in statuses
        assert {status for status, _ in statuses} == {200, 503}
