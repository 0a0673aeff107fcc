"""How large bodies may be, one and all of them, and what they are before they are parsed."""

from __future__ import annotations

import asyncio
import codecs
import json
import socket
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.serve import body, guard
from codegen25.serve.body import MAX_DEPTH, Held, RefusedError, depth, fault, is_utf8, whole
from serving import Running, engine, serving


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.text('[]{}"\\a', max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
        max_leaves=8,
    )
)
def test_depth_is_that_of_the_value(value: object) -> None:
    def of(each: object) -> int:
        if isinstance(each, list):
            return 1 + max(map(of, each), default=0)
        if isinstance(each, dict):
            return 1 + max(map(of, each.values()), default=0)
        return 0

    wrapped = value
    for _ in range(MAX_DEPTH):
        wrapped = [wrapped]
    assert depth(json.dumps(wrapped).encode()) == of(value) + MAX_DEPTH


class Code(bytes):
    """Bytes that must not be walked through one by one."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        raise AssertionError("a loop over every byte")


def test_brackets_in_code_cost_nothing() -> None:
    code = 'f({"a": [1]});\\"\n' * 1000
    assert depth(Code(json.dumps({"prompt": code, "extra": [[code]]}).encode())) == 3
    assert depth(b"[" * 100 + b'"]]]') == 100 and depth(b"]" * 100 + b"[" * 101) <= 101


# ---------------------------------------------------------------------------------------- UTF-8


@settings(max_examples=60)
@given(st.none() | st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_json_in_utf8_is_let_through(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert fault(text.encode()) is None
        assert fault(codecs.BOM_UTF8 + text.encode()) is None


@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_json_in_another_encoding_is_not(client: httpx.Client, name: str) -> None:
    """Its brackets would not be counted as the reader sees them."""
    content = json.dumps({"prompt": "x = ", "max_tokens": 1, "stop": "}"}).encode(name)
    assert json.loads(content) and not is_utf8(content)
    for path in ("/v1/completions", "/infill"):
        refused = client.post(path, content=content)
        assert refused.status_code == 400 and "UTF-8" in refused.json()["error"]["message"]


def test_half_a_character_is_not(client: httpx.Client) -> None:
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc3"):  # a lone surrogate too
        refused = client.post("/v1/completions", content=b'{"prompt":"' + bad + b'"}')
        assert refused.status_code == 400 and "UTF-8" in refused.json()["error"]["message"]


# ----------------------------------------------------------------------------------- all bodies


async def received(parts: list[bytes], take: Any, most: int = 100) -> bytes:
    left = list(parts)

    async def receive() -> dict[str, Any]:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return await whole(receive, most, take)


def test_what_is_held_is_counted_while_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_HELD", 12)
    held = Held()
    with held.share() as first:
        assert asyncio.run(received([b"abc", b"", b"de"], first)) == b"abcde" and held.bytes == 5
        with held.share() as second:
            assert asyncio.run(received([b"x" * 7], second)) and held.bytes == 12
        assert held.bytes == 5
        with pytest.raises(RefusedError) as refused, held.share() as third:
            asyncio.run(received([b"x" * 7, b"y"], third))
        assert refused.value.status == 503 and held.bytes == 5
        with pytest.raises(RefusedError) as large, held.share() as fourth:
            asyncio.run(received([b"x" * 3], fourth, most=2))
        assert large.value.status == 413
    assert held.bytes == 0


def test_more_than_the_server_may_hold_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(body, "MOST_HELD", 100_000)
    monkeypatch.setattr(guard, "Held", lambda: held)
    with serving({"m": engine()}) as running:
        _fills_and_leaves(running, held)


def _fills_and_leaves(running: Running, held: Held) -> None:
    content = json.dumps({"prompt": "x = ", "max_tokens": 1, "more": "y" * 50_000})
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90001\r\n\r\n"
    with httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client:
        assert client.post("/v1/completions", content=content).status_code == 200
        _await(held, 0)
        with socket.create_connection(("127.0.0.1", running.port)) as made:
            made.sendall(head + b"z" * 90_000)
            _await(held, 90_000)
            refused = client.post("/v1/completions", content=content)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "large" in refused.json()["error"]["message"]
            assert client.get("/health").status_code == 200
        _await(held, 0)
        assert client.post("/v1/completions", content=content).status_code == 200


def _await(held: Held, count: int) -> None:
    """Bytes come and go when the event loop sees them."""
    end = time.monotonic() + 30
    while held.bytes != count:
        assert time.monotonic() < end, held.bytes
        time.sleep(0.005)
