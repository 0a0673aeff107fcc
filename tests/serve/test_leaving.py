"""Clients that leave, stop reading or come too many."""

import json
import socket
import threading
import time

import httpx
from serving import Running, engine, serving

LONG = {"prompt": "x = [", "max_tokens": 400, "temperature": 1.0, "stop": [], "seed": 1}


def post(port: int, body: dict, path: str = "/v1/completions") -> socket.socket:
    raw = json.dumps(body).encode()
    made = socket.create_connection(("127.0.0.1", port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n"
    made.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + raw)
    return made


def test_a_client_that_leaves_ends_its_request(server: Running) -> None:
    for stream in (True, False):
        made = post(server.port, {**LONG, "stream": stream})
        while server.engine.requests == (0, 0):
            time.sleep(0.001)
        made.close()
        assert server.idle(5)


def test_a_client_that_leaves_while_its_prompt_is_computed(server: Running) -> None:
    words = " ".join(f"name_{i}" for i in range(300))
    made = post(server.port, {**LONG, "prompt": words, "max_tokens": 32})
    time.sleep(0.005)
    made.close()
    assert server.idle(5)


def test_a_thousand_clients_that_leave_hold_nothing(server: Running) -> None:
    for i in range(1000):
        post(server.port, {**LONG, "stream": bool(i % 2)}).close()
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        assert client.get("/health").status_code == 200
    assert server.idle(60)
    assert not any(slot.busy for slot in server.engine.cache.slots)


def test_a_reader_that_stops_holds_nobody_up(server: Running, client: httpx.Client) -> None:
    stuck = [post(server.port, {**LONG, "stream": True, "max_tokens": 120}) for _ in range(4)]
    answer = client.post("/v1/completions", json={"prompt": "y = ", "max_tokens": 4})
    assert answer.status_code == 200
    assert server.idle(60)
    for each in stuck:
        each.close()


def test_a_full_queue_says_when_to_come_again() -> None:
    with serving({"m": engine()}, queue=1) as running:
        statuses: list[tuple[int, str]] = []

        def ask() -> None:
            with httpx.Client(base_url=running.url, timeout=120, trust_env=False) as client:
                response = client.post("/v1/completions", json={**LONG, "max_tokens": 100, "n": 16})
                statuses.append((response.status_code, response.headers.get("retry-after", "")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        assert (503, "1") in statuses and (200, "") in statuses
        assert {status for status, _ in statuses} == {200, 503}


def test_a_server_that_ends_does_not_wait_for_ever() -> None:
    with serving({"m": engine()}) as running:
        made = post(running.port, {**LONG, "stream": True})
        while running.engine.requests == (0, 0):
            time.sleep(0.001)
    made.close()
    assert running.engine.requests == (0, 0)
