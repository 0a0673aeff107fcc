"""Many who type at once: what they share, what they hold, and what keeps the event loop free."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from codegen25.infill import Prompt
from codegen25.sample import healing
from codegen25.sample.engine import Engine
from codegen25.sample.request import Completion
from codegen25.sample.stopping import Stops
from codegen25.serve import command, typists
from codegen25.serve.ask import Ask
from codegen25.serve.served import Served
from codegen25.serve.service import Service
from codegen25.serve.typists import Typists
from codegen25.tokenizer import Tokenizer
from serving import SHIPPED
from serving import engine as loaded

ASK = Ask("def f(x):\n    return ", "\n", max_tokens=8, typing=True)
DONE = Completion("x + 1", "end", 4, 10, 5.0, 5.0)
MINIFIED = "".join(f"var a{i}=f(b,'c{i}');" for i in range(2000))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = loaded()
    made.start()
    yield made
    made.close()


class Bare:
    """Lays out and nothing else."""

    def __init__(self, engine: Engine) -> None:
        self.tokenizer, self.form, self.context = engine.tokenizer, engine.form, engine.context
        self._prompt = engine.prompt

    def prompt(
        self, prefix: str, suffix: str, *, max_tokens: int, layout: str | None = None,
        front: Sequence[int] = (),
    ) -> Prompt:  # fmt: skip
        return self._prompt(prefix, suffix, max_tokens=max_tokens, layout=layout, front=front)


def test_a_typist_needs_no_engine(engine: Engine) -> None:
    typist = Typists(Bare(engine)).of(ASK)
    request = asyncio.run(typist.asked(ASK))
    assert not request.prompt.cut
    assert request.prompt.ids and request.max_tokens == 8 and typist.known(ASK) is None


def test_who_has_more_time_or_wants_more_is_the_same_typist(engine: Engine) -> None:
    everybody = Typists(engine)
    typist = everybody.of(ASK)
    for same in (replace(ASK, budget=1.0), replace(ASK, max_tokens=16), replace(ASK, prefix="y")):
        assert everybody.of(same) is typist
    others: list[dict[str, Any]] = [
        {"owner": "b"}, {"suffix": "\n\n"}, {"language": "c"}, {"stops": Stops(("x",))},
        {"extra": (("a.py", "b"),)},
    ]  # fmt: skip
    for other in others:
        assert everybody.of(replace(ASK, **other)) is not typist
    request = asyncio.run(typist.asked(replace(ASK, budget=0.5)))
    assert (request.budget, request.max_tokens) == (0.5, 8)


def test_large_files_are_not_held(engine: Engine) -> None:
    everybody, file = Typists(engine), "x = 1\n" * 50_000

    async def type_all() -> None:
        for i in range(4):
            extra = ((f"{i}.py", f"{file}{i}"),)
            ask = replace(ASK, prefix=f"{file}{i}", suffix=f"{file}{i}", extra=extra)
            typist = everybody.of(ask)
            await typist.asked(ask)
            everybody.remember(typist, ask, DONE)

    tracemalloc.start()
    try:
        asyncio.run(type_all())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(everybody) == 4 and held < 2 * len(file)
    assert 4 * 4000 < everybody.held < len(file)


def test_those_who_hold_too_much_go(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typists, "MOST_BYTES", 1_000_000)
    everybody = Typists(engine)
    first = everybody.of(ASK)
    for i in range(20):
        ask = replace(ASK, stops=Stops((f"{i}" + "s" * 200_000,)))
        typist = everybody.of(ask)
        assert everybody.held <= 1_000_000
    assert 1 <= len(everybody) < 6 and everybody.of(ask) is typist
    held = everybody.held
    everybody.remember(first, ASK, DONE)  # it went while its answer was made
    assert everybody.held == held and everybody.of(ASK) is not first
    huge = replace(ASK, stops=Stops(("s" * 2_000_000,)))
    assert everybody.of(huge) is everybody.of(huge) and len(everybody) == 1


def test_as_many_as_there_may_be(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typists, "MOST", 3)
    everybody = Typists(engine)
    for i in range(5):
        everybody.of(replace(ASK, owner=f"{i}"))
    one = everybody.of(ASK)
    assert len(everybody) == 3 and everybody.held == 3 * one.size


@pytest.mark.parametrize(
    "ask",
    [
        replace(ASK, prefix=MINIFIED),
        replace(ASK, prefix="x = 1\n" * 5000, suffix="y = 2\n" * 5000),
        replace(ASK, extra=(("a.py", MINIFIED), ("b.py", "z = 3\n" * 300))),
        replace(ASK, typing=False, extra=(("a.py", MINIFIED), ("b.py", "z = 3\n" * 300))),
        Ask(MINIFIED[:900], max_tokens=4),
    ],
)
def test_the_event_loop_encodes_no_more_than_a_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    encoding, here = Tokenizer._encoding, threading.current_thread()
    seen: list[tuple[bool, int]] = []

    def spy(self: Tokenizer, text: str) -> object:
        seen.append((threading.current_thread() is here, len(text)))
        return encoding(self, text)

    monkeypatch.setattr(Tokenizer, "_encoding", spy)
    service, served = Service(dict), Served("m", engine)

    async def keys() -> None:
        for more in ("", "a", "ab"):
            await service.answers(served, replace(ask, prefix=ask.prefix + more))

    asyncio.run(keys())
    within = [length for loop, length in seen if loop]
    assert seen and max(within, default=0) <= 300
    assert max(length for _, length in seen) <= engine.context * engine.tokenizer.longest_token


def test_requests_of_one_typist_are_laid_out_one_after_the_other(engine: Engine) -> None:
    everybody, file = Typists(engine), "x = 1\n" * 3000
    asks = [replace(ASK, prefix=f"{file}y{i}\nab", max_tokens=8 + i) for i in range(8)]

    async def together() -> list[list[int]]:
        typist = everybody.of(asks[0])
        found = await asyncio.gather(*(typist.asked(ask) for ask in asks))
        assert all(request.prompt.cut for request in found)
        return [request.prompt.ids for request in found]

    for ask, ids in zip(asks, asyncio.run(together()), strict=True):
        assert f"y{ask.max_tokens - 8}\n" in engine.tokenizer.decode(ids)


def test_the_first_keystroke_waits_for_no_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = command.backend(SHIPPED, command.Options(weights="int8", threads=1))
    monkeypatch.setattr(healing, "_token_bytes", None)  # making one would fail
    assert Typists(backend).of(ASK).size > 0
