"""Whatever bytes come: an answer or a refusal, never a 500, and the server lives."""

from __future__ import annotations

import json
import random
import socket

import httpx
import pytest

from codegen25.serve.app import build
from codegen25.serve.guard import Rules
from codegen25.serve.service import Service
from serving import Running

POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
VALUES = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**100, -(2**64), 0.5, 1e308, "", "x", "é\U0001f600",
    "\x00", [], [1], [[1]], [None], {}, {"a": {}}, ["x"] * 20, "<eom><mask_1>", "\n" * 50,
]  # fmt: skip


def test_bytes_that_are_no_http(server: Running, client: httpx.Client) -> None:
    rng = random.Random(0)
    for case in range(60):
        raw = rng.choice([
            rng.randbytes(rng.randrange(1, 400)),
            POST + b"Content-Length: -5\r\n\r\n",
            POST + b"Content-Length: 9\r\n" * 3 + b"\r\n",
            POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
            b"GET /" + b"%" * 50 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ])  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port)) as made:
            made.settimeout(20)
            try:
                made.sendall(raw)
                made.shutdown(socket.SHUT_WR)
                said = made.recv(4096)
            except OSError:
                continue
            assert b" 500 " not in said.split(b"\r\n")[0], (case, raw[:80])
    assert client.get("/health").status_code == 200


def bodies(schema: dict, rng: random.Random) -> dict:
    """Any field of a schema with any value."""
    names = list(schema.get("properties", {})) or ["prompt"]
    body = {
        name: rng.choice(VALUES) for name in rng.sample(names, rng.randrange(0, len(names) + 1))
    }
    for name in ("max_tokens", "n_predict", "num_predict"):
        if isinstance(body.get(name), int) and body[name] > 64:
            body[name] = 8
    return body


def routes() -> list[tuple[str, str, dict]]:
    document = build(Service(dict), Rules.of("127.0.0.1", [], [])).openapi()
    schemas = document.get("components", {}).get("schemas", {})
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            name = schema.get("$ref", "").rpartition("/")[2]
            found.append((method.upper(), path, schemas.get(name, schema)))
    return found


@pytest.mark.parametrize(("method", "path", "schema"), routes())
def test_any_field_with_any_value(
    client: httpx.Client, server: Running, method: str, path: str, schema: dict
) -> None:
    rng = random.Random(path)
    for _ in range(25 if method == "POST" else 2):
        url = path.replace("{", "").replace("}", "").replace(":path", "")
        body = bodies(schema, rng)
        content = None if method == "GET" else json.dumps(body)
        response = client.request(
            method, url, content=content, headers={"content-type": "application/json"}
        )
        assert response.status_code != 500, (body, response.text)
    assert server.idle(30)
