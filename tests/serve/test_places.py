"""How much may wait: a bound that holds when all come at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.sample.request import BusyError, TokenLogprobs
from codegen25.serve.ask import Ask
from codegen25.serve.places import Places
from codegen25.serve.served import together
from codegen25.serve.service import Service
from serving import Running, engine, serving

QUEUE = 3


@given(st.integers(1, 9), st.lists(st.integers(1, 12)))
def test_what_is_taken_is_never_more_and_is_given_back(count: int, wanted: list[int]) -> None:
    places, held, taken = Places(count), [], 0
    for each in wanted:
        room = count - taken
        try:
            held.append(places.held(each))
            held[-1].__enter__()
        except UserError as error:
            held.pop()
            assert each > room and isinstance(error, BusyError) == (each <= count)
        else:
            assert each <= room
            taken += each
        assert places.taken == taken <= count
    for each in held:
        each.__exit__(None, None, None)
    assert places.taken == 0


def test_a_burst_is_bounded() -> None:
    """All ask before any is computed."""
    service = Service(lambda: {"m": engine()}, QUEUE)
    service.load()
    served = service.default
    most = QUEUE + served.backend.rows

    async def burst() -> list[object]:
        asks = [Ask(f"x_{i} = ", max_tokens=4) for i in range(40)]
        answers = (service.answers(served, ask) for ask in asks)
        watch = asyncio.ensure_future(peak())
        found = await asyncio.gather(*answers, return_exceptions=True)
        watch.cancel()
        return found

    seen = []

    async def peak() -> None:
        while True:
            seen.append(sum(served.backend.requests))
            await asyncio.sleep(0)

    try:
        found = asyncio.run(burst())
        assert sum(isinstance(each, BusyError) for each in found) == 40 - most
        assert sum(isinstance(each, list) for each in found) == most >= max(seen)
        assert served.places.taken == 0
        assert asyncio.run(service.answers(served, Ask("x = ", max_tokens=1)))
    finally:
        service.close()


@pytest.fixture(scope="module")
def small():  # type: ignore[no-untyped-def]
    with serving({"m": engine()}, queue=QUEUE) as running:
        yield running


def client(running: Running) -> httpx.Client:
    return httpx.Client(base_url=running.url, timeout=60, trust_env=False)


@pytest.mark.parametrize("stream", [True, False])
def test_a_body_of_many_prompts_counts_as_many(small: Running, stream: bool) -> None:
    most = small.service.default.places.count
    with client(small) as http:
        for path, name in (("/v1/completions", "max_tokens"), ("/completion", "n_predict")):
            for count, status in ((most, 200), (most + 1, 400)):
                body = {"prompt": ["x"] * count, "stream": stream, name: 1}
                answer = http.post(path, json=body)
                assert answer.status_code == status
            assert "--queue" in answer.json()["error"]["message"]
    assert small.service.default.places.taken == 0


def test_those_that_wait_to_be_scored_count(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def slow(ids: list[int], top: int, given_up: Callable[[], bool]) -> list[TokenLogprobs]:
        go.wait(20)
        return [TokenLogprobs(each, -1.0, ()) for each in ids[1:]]

    monkeypatch.setattr(small.engine, "score", slow)
    most = small.service.default.places.count
    body = {"prompt": "x = 1", "max_tokens": 0, "echo": True, "logprobs": 1}

    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=small.url, timeout=60, trust_env=False) as http:

            async def one(i: int) -> int:
                status = (await http.post("/v1/completions", json=body)).status_code
                if status == 503:
                    refused.append(i)
                    if len(refused) == 5:
                        go.set()
                return status

            refused: list[int] = []
            return await together(one(i) for i in range(most + 5))

    found = asyncio.run(ask())
    assert sorted(found) == [200] * most + [503] * 5
    assert small.service.default.places.taken == 0
