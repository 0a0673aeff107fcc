"""Whatever bytes come: an answer or a refusal, never a 500, and the server lives."""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket

import httpx
import pytest
from dialect_helpers import REQUESTS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codegen25.serve.app import build
from codegen25.serve.rules import Rules
from codegen25.serve.service import Service
from serving import Running

HEAD = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
POST = b"POST /v1/completions" + HEAD
COMPLETIONS = "/v1/completions"
VALUES = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**100, -(2**64), 0.5, 1e308, "", "x", "é\U0001f600",
    "\x00", [], [1], [[1]], [None], {}, {"a": {}}, ["x"] * 20, "<eom><mask_1>", "\n" * 50,
]  # fmt: skip
RECORDED = [path.read_bytes().strip() for path in sorted(REQUESTS.glob("*.json"))]
PIECES = [
    b"", b'"', b"{", b"}}", b"[[", b"]", b",", b":", b"null", b"-1", b"1e999", b"9" * 30,
    b"\\u0000", b"\\ud800", b"\x00", b"\xff\xfe", b"\xc3", b"\xf0\x9f\x98\x80", b"\r\n", b"NaN",
    b'"segments":{},',
]  # fmt: skip
"""What takes the place of some bytes."""
FAULTS = [
    b"-1\r\nx\r\n",
    b"zz\r\n",
    b"5\r\nab\r\n",
    b"F" * 20 + b"\r\n",
    b"\r\n",
    b"1",
    b"0\r\n\r\n",
]
"""What is no chunk, or the last one too early."""
STATUSES = {200, 400, 401, 403, 404, 405, 408, 413, 431, 501, 503}
REPEATED = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@st.composite
def mutated(draw: st.DrawFn, of: list[bytes]) -> bytes:
    """One of these texts, in which some bytes are others, are missing, stand twice, or all behind a
    place are gone."""
    raw = draw(st.sampled_from(of))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        end = at + draw(st.integers(0, 12))
        twice = 2 * raw[at:end]
        middle = draw(st.sampled_from([*PIECES, twice]) | st.binary(max_size=8))
        raw = raw[:at] + middle + (raw[end:] if draw(st.integers(0, 9)) else b"")
    return raw


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> bytes:
    """The rest of a request: its body behind a length, right or wrong, or in chunks that may have
    extensions, a trailer and a fault."""
    if draw(st.booleans()):
        wrong = draw(st.sampled_from([0, 0, 0, 0, -1, 1, 10**9]))
        return b"Content-Length: %d\r\n\r\n%b" % (max(0, len(body) + wrong), body)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
    extension = draw(st.sampled_from([b"", b";a=b", b' ;q="\\"']))
    chunks = [b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    if fault := draw(st.sampled_from([b"", b"", b"", *FAULTS])):
        chunks.insert(draw(st.integers(0, len(chunks))), fault)
    end = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"]))
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + end


def said(port: int, raw: bytes) -> bytes:
    """All that the server says. It may not be silent for ever: it hangs up, or waits for more and
    is told that none comes."""
    found = b""
    with socket.create_connection(("127.0.0.1", port)) as made:
        made.settimeout(20)
        with contextlib.suppress(ConnectionError):
            made.sendall(raw)
            if not select.select([made], [], [], 0.2)[0]:
                made.shutdown(socket.SHUT_WR)
            while part := made.recv(65536):
                found += part
    return found


def assert_no_fault(found: bytes) -> None:
    """A status that a client may expect, or the connection's end; and no fault within a stream."""
    if found:
        assert int(found.split(b" ", 2)[1]) in STATUSES, found[:500]
        assert b'"code":500' not in found and b"the server failed" not in found, found[-500:]


def post(path: str, frame: bytes) -> bytes:
    return b"POST %b%b%b" % (path.encode(), HEAD, frame)


WHOLE = [
    post(path, b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    for path, body in (("/infill", RECORDED[-2]), (COMPLETIONS, b'{"prompt":"x"}'))
]


@settings(REPEATED, max_examples=60)
@given(st.binary(max_size=400).map(lambda raw: raw + b"\r\n\r\n") | mutated(WHOLE))
@example(POST + b"Content-Length: -5\r\n\r\n")
@example(POST + b"Content-Length: 9\r\n" * 3 + b"\r\n")
@example(POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
@example(POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n")
@example(b"GET /" + HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n")
@example(b"GET /" + b"%" * 50 + HEAD + b"\r\n")
@example(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
def test_bytes_that_are_no_http(server: Running, raw: bytes) -> None:
    assert_no_fault(said(server.port, raw))


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


POSTS = sorted({path for method, path, _ in routes() if method == "POST"})


@pytest.mark.parametrize("path", POSTS)
def test_recorded_bodies_that_are_damaged(client: httpx.Client, server: Running, path: str) -> None:
    url = path.format(engine="codegen")

    @settings(REPEATED, max_examples=10)
    @given(mutated(RECORDED).flatmap(framed))
    def damaged(frame: bytes) -> None:
        assert_no_fault(said(server.port, post(url, frame)))

    damaged()
    assert client.get("/health").status_code == 200
    assert server.idle(30)
