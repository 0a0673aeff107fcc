"""What the server says of its requests: where they failed, never what they held."""

from __future__ import annotations

import asyncio
import logging
import re

import httpx
import pytest

from codegen25.serve.app import build
from codegen25.serve.rules import Rules
from codegen25.serve.service import Service
from serving import engine
from test_traced import SECRET, fail


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_is_logged_with_its_lines_and_no_value(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    service = Service(lambda: {"m": engine()})
    service.load()
    monkeypatch.setattr(service, "compute", fail)
    app = build(service, Rules.of("127.0.0.1", [], []))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/v1/completions", json={"prompt": SECRET, "stream": stream})

    try:
        with caplog.at_level(logging.DEBUG):
            answer = asyncio.run(ask())
    finally:
        service.close()
    assert answer.status_code == 500 and SECRET not in answer.text
    [record] = [each for each in caplog.records if each.name == "codegen25.serve"]
    said = record.getMessage()
    here = r"tests/test_traced\.py:\d+"
    assert re.search(rf"RuntimeError \(.*{here}\) from KeyError \(.*{here}\)", said)
    assert re.search(r"serve/service\.py:\d+|dialects/openai_choices\.py:\d+", said)
    assert SECRET not in caplog.text and record.exc_info is None


def test_every_request_has_a_line_if_that_is_wanted() -> None:
    lines: list[str] = []
    service = Service(lambda: {"m": engine()})
    service.load()
    app = build(service, Rules.of("127.0.0.1", [], []), tell=lines.append)
    body = {"prompt": SECRET, "max_tokens": 1}

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return [
                await http.post(f"/v1/completions?x={SECRET}", json=body),
                await http.get(f"/{SECRET}"),
                await http.request(SECRET.upper(), "/health"),
                await http.get("/health", headers={"host": SECRET}),
            ]

    try:
        first, *others = asyncio.run(ask())
    finally:
        service.close()
    assert [each.status_code for each in others] == [404, 405, 403]
    sizes = f"{len(first.request.content)} in {len(first.content)} out"
    assert re.fullmatch(rf"POST /v1/completions 200 [\d.]+ ms {sizes}", lines[0])
    assert lines[1].startswith("GET other 404 ") and lines[2].startswith("? /health 405 ")
    assert lines[3].startswith("GET other 403 ")
    assert SECRET not in "".join(lines).lower()
