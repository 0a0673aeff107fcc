"""Whatever bytes come: an answer or a refusal, never a 500, and the server lives."""

from __future__ import annotations

import json
import random
import socket

import httpx
import pytest

from codegen25.serve.app import build
from codegen25.serve.rules import Rules
from codegen25.serve.service import Service
from serving import Running

POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
COMPLETIONS = "/v1/completions"
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
            except TimeoutError:
                raise
            except OSError:  # it was hung up on
                continue
            assert b" 500 " not in said.split(b"\r\n")[0], (case, raw[:80])
    assert client.get("/health").status_code == 200


def bodies(schema: dict, rng: random.Random) -> dict:
    """Any field of a schema with any value."""
    names = list(schema["properties"])
    body = {
        name: rng.choice(VALUES) for name in rng.sample(names, rng.randrange(0, len(names) + 1))
    }
    for name in ("max_tokens", "n_predict", "num_predict"):
        if isinstance(body.get(name), int) and body[name] > 64:
            body[name] = 8
    return body


def objects(schema: dict, schemas: dict) -> list[dict]:
    """The schemas of objects that a body may be: those of a union, each by itself."""
    if "$ref" in schema:
        return objects(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    each = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return [found for part in each for found in objects(part, schemas)] or [schema]


def routes() -> list[tuple[str, str, dict]]:
    document = build(Service(dict), Rules.of("127.0.0.1", [], [])).openapi()
    schemas = document.get("components", {}).get("schemas", {})
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {"properties": {}})
            found += [(method.upper(), path, each) for each in objects(schema, schemas)]
    return found


def test_both_bodies_of_completions_are_tried() -> None:
    fields = [set(schema["properties"]) for _, path, schema in routes() if path == COMPLETIONS]
    assert len(fields) == 2 and all("model" in each for each in fields)
    assert any("best_of" in each for each in fields) and any("segments" in each for each in fields)


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
