"""What is counted of a load that is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from codegen25.sample.request import Completion
from codegen25.serve.ask import Ask
from codegen25.serve.metrics import Metrics
from codegen25.serve.service import Service
from serving import engine

WORDS = "measure(alpha, beta, gamma)\n"
LONG = Ask("x = [", max_tokens=400)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(lambda: {"m": engine()})
    made.load()
    yield made
    made.close()


def counted(service: Service) -> dict[str, float]:
    """Values by name, labels included, without the prefix all of them have."""
    lines = service.measured().decode().splitlines()
    pairs = (line.removeprefix("codegen25_").rsplit(" ", 1) for line in lines if line[:1] != "#")
    return {name: float(value) for name, value in pairs if not name.endswith("_created")}


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.002)


def test_prompts_reuse_and_guesses_are_added_up(service: Service) -> None:
    async def load() -> list[Completion]:
        found = []
        for _ in range(3):  # the second and third find the prompt computed
            found += await service.answers(service.default, Ask(WORDS * 8, max_tokens=24))
        return found

    found = asyncio.run(load())
    seen = counted(service)
    assert seen["prompt_tokens_total"] == sum(each.prompt_tokens for each in found)
    assert seen["cached_tokens_total"] == sum(each.cached_tokens for each in found)
    assert seen["cached_tokens_total"] >= 2 * (found[0].prompt_tokens - 1)
    assert seen["generated_tokens_total"] == sum(each.tokens for each in found) > 0
    assert seen["drafted_tokens_total"] == sum(each.drafted for each in found)
    assert seen["accepted_tokens_total"] == sum(each.accepted for each in found)
    assert 0 <= seen["accepted_tokens_total"] <= seen["drafted_tokens_total"] > 0
    assert seen["first_token_seconds_count"] == seen["decode_seconds_count"] == 3
    for name, field in (("first_token", "prefill_ms"), ("decode", "decode_ms")):
        spent = sum(getattr(each, field) for each in found) / 1000
        assert seen[f"{name}_seconds_sum"] == pytest.approx(spent)
    ends = {name: value for name, value in seen.items() if name.startswith("answers_total")}
    assert sum(ends.values()) == 3


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_is_counted_with_what_was_written(service: Service, stream: bool) -> None:
    served, written = service.default, asyncio.Event()

    async def read() -> None:
        if not stream:
            await service.answers(served, LONG, lambda *_: written.set())
        async for _ in service.stream(served, [LONG]):
            written.set()

    async def leave() -> None:
        reading = asyncio.create_task(read())
        await asyncio.wait_for(written.wait(), 30)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await until(lambda: served.backend.requests == (0, 0))
        await until(lambda: 'answers_total{reason="cancelled"}' in counted(service))

    asyncio.run(leave())
    seen = counted(service)
    assert seen['answers_total{reason="cancelled"}'] == 1
    assert 1 <= seen["generated_tokens_total"] < LONG.max_tokens
    assert seen["prompt_tokens_total"] > 0 and seen["first_token_seconds_count"] == 1


def test_the_queue_is_seen_and_who_leaves_it_is_counted(service: Service) -> None:
    served = service.default
    rows, waiting = served.backend.rows, 3

    async def leave() -> None:
        asks = [service.answers(served, LONG) for _ in range(rows + waiting)]
        tasks = [asyncio.create_task(each) for each in asks]
        await until(lambda: served.backend.requests == (rows, waiting))
        seen = counted(service)
        assert (seen["active_requests"], seen["waiting_requests"]) == (rows, waiting)
        assert seen["cache_sequences"] >= rows and seen["cache_bytes"] > 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        total = rows + waiting
        await until(lambda: counted(service).get('answers_total{reason="cancelled"}') == total)

    asyncio.run(leave())
    seen = counted(service)
    assert (seen["active_requests"], seen["waiting_requests"]) == (0, 0)
    # Those that never began had no first token, and no prompt was computed for them.
    assert seen["first_token_seconds_count"] <= rows


def test_what_was_broken_off_before_its_first_token_has_no_times() -> None:
    metrics = Metrics()
    for reason in ("cancelled", "time"):
        metrics.answered(Completion("", reason, 0, 100, 500.0, 0.0))
    metrics.answered(Completion("", "length", 0, 10, 50.0, 0.0, cached_tokens=4))
    text = metrics.text().decode()
    assert "codegen25_first_token_seconds_count 1.0" in text
    assert "codegen25_prompt_tokens_total 10.0" in text
    assert "codegen25_cached_tokens_total 4.0" in text
    assert 'codegen25_answers_total{reason="cancelled"} 1.0' in text


def test_a_closed_service_answers_nobody() -> None:
    service = Service(lambda: {"m": engine()})
    service.load()
    service.close()
    with pytest.raises(Exception, match="ends"):
        asyncio.run(service.answers(service.default, LONG))
