"""Who is computed, who waits for whom, and who fails: of memory, budgets and broken passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sample_helpers import ticking

from codegen25.errors import UserError
from codegen25.sample import admission, waiting
from codegen25.sample import engine as engines
from codegen25.sample.admission import QUIET_SECONDS
from codegen25.sample.drafting import Gate
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import BusyError, Completion, Handle, Piece, Priority, Request
from codegen25.sample.runner import Run
from codegen25.sample.scheduler import MOST_DRAFT, Scheduler

PLACES = [("def f(x):\n    ", "\n"), ("import os\n" * 12, "x = 1\n"), ("y", "")]


@pytest.fixture(scope="module")
def loaded(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings(kind="float32", threads=1))


@pytest.fixture
def engine(loaded: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """One that has learned nothing yet, and takes one step at a time."""
    loaded.cache.clear()
    monkeypatch.setattr(loaded.scheduler, "gate", Gate(MOST_DRAFT))
    monkeypatch.setattr(loaded.scheduler, "_pace", 0.0)
    monkeypatch.setattr(loaded.scheduler, "_pressed", -QUIET_SECONDS)
    monkeypatch.setattr(loaded.scheduler, "_striding", None)
    return loaded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that all but stands until it is set on."""
    return ticking(monkeypatch, 1e-5)


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """One with memory for one context alone."""
    whole = engine.runner.bytes_of(engine.context)
    monkeypatch.setattr(engine.cache, "bound", whole)
    monkeypatch.setattr(engine.scheduler, "_reserve", whole // 4)
    return engine


def asked(engine: Engine, place: int = 0, tokens: int = 24, **more: object) -> Request:
    prompt = engine.prompt(*PLACES[place], max_tokens=tokens)
    return replace(Request(prompt, tokens, Sampling(1.0), str(place)), **more)  # type: ignore[arg-type]


def whole(engine: Engine, **more: object) -> Request:
    """One that needs a whole context."""
    return asked(engine, 1, engine.context - 80, draft=False, **more)


def alone(engine: Engine, request: Request) -> Completion:
    engine.cache.clear()
    found = engine.wait(engine.submit(request))
    engine.cache.clear()
    engine.scheduler._pressed = -QUIET_SECONDS
    return found


def step_until(engine: Engine, what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        engine.advance()
    raise AssertionError("nothing came of a thousand steps")


Forward = Callable[[Sequence[Run]], np.ndarray]


def change(
    engine: Engine, patch: pytest.MonkeyPatch, by: Callable[[Forward, list[Run]], object]
) -> None:
    forward = engine.runner.forward
    patch.setattr(engine.runner, "forward", lambda runs: by(forward, runs))


# --------------------------------------------------------------------------------------- memory


def test_who_borrowed_memory_wakes_the_loop(engine: Engine) -> None:
    engine._bell.clear()
    engine.score([1, 2, 3])
    assert engine._bell.is_set()  # a request may wait for what was given back


def test_typing_takes_the_memory_of_batch_work_which_goes_on_later(
    small: Engine, clock: SimpleNamespace
) -> None:
    engine, long = small, whole(small, priority=Priority.BATCH)
    expected, typed = alone(engine, long), alone(engine, asked(engine))
    pieces: list[str] = []
    batch = engine.submit(long, lambda piece: pieces.append(piece.text))
    step_until(engine, lambda: len(batch.text) > 9)
    for key in ("0", "0"):
        handle = engine.submit(asked(engine, key=key))
        assert engine.wait(handle).text == typed.text and not batch.done
    assert engine.cache.bytes <= engine.cache.bound
    shown = batch.text
    for _ in range(9):  # whoever types has the memory for a while
        assert not engine.scheduler.step() and engine.scheduler.load == (0, 1)
    clock.now += QUIET_SECONDS
    found = engine.wait(batch)
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert "".join(pieces) == found.text and 9 < len(shown) < len(found.text)
    assert engine.scheduler.load == (0, 0) and not engine.scheduler._paused


def test_what_gave_way_goes_on_at_once_where_there_is_room(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    room = engine.runner.bytes_of(engine.context)
    monkeypatch.setattr(engine.cache, "bound", 2 * room)
    monkeypatch.setattr(engine.scheduler, "_reserve", 0)
    long = [whole(engine, key=key, priority=Priority.BATCH) for key in "ab"]
    expected = [alone(engine, request).text for request in long]
    batch = [engine.submit(request) for request in long]
    step_until(engine, lambda: all(handle.text for handle in batch))
    engine.wait(engine.submit(asked(engine, tokens=4)))
    assert [engine.wait(handle).text for handle in batch] == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("forced", [b"", b"self.items"])
def test_giving_way_at_any_step_changes_nothing(
    small: Engine, clock: SimpleNamespace, temperature: float, forced: bytes
) -> None:
    engine, typed = small, asked(small, tokens=1)
    long = whole(engine, priority=Priority.BATCH, forced=forced, sampling=Sampling(temperature))
    long = replace(long, max_tokens=24 if forced else 40, draft=True)
    expected, gave_way = alone(engine, long), 0
    for steps in range(0, 40, 3):
        engine.cache.clear()
        batch = engine.submit(long)
        for _ in range(steps):
            engine.advance()
        engine.wait(engine.submit(typed))
        gave_way += batch in engine.scheduler._paused
        clock.now += 2 * QUIET_SECONDS
        found = engine.wait(batch)
        assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert gave_way > 2


def test_what_gave_way_ends_with_what_it_has(small: Engine, clock: SimpleNamespace) -> None:
    engine, ends = small, list[tuple[str, str]]()
    for end in ("cancel", "time", "error"):
        batch = engine.submit(whole(engine, priority=Priority.BATCH, budget=50.0))
        step_until(engine, lambda batch=batch: len(batch.text) > 5)
        engine.wait(engine.submit(asked(engine)))
        shown, clock.now = batch.text, clock.now + (60 if end == "time" else 0)
        if end == "cancel":
            batch.cancel()
        if end == "error":
            engine.scheduler.fail_all(RuntimeError("over"))
            with pytest.raises(RuntimeError, match="over"):
                engine.wait(batch)
        else:
            found = engine.wait(batch)
            assert found.text.startswith(shown) and found.tokens > 0
            ends.append((end, found.stop_reason))
        assert engine.scheduler.load == (0, 0) and not engine.scheduler._paused
    assert ends == [("cancel", "cancelled"), ("time", "time")]


@pytest.mark.parametrize("patience", [0.0, 1e9])
def test_a_large_request_is_not_passed_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(admission, "PATIENCE", patience)
    room = engine.runner.bytes_of(engine.context)
    monkeypatch.setattr(engine.cache, "bound", 2 * room)
    monkeypatch.setattr(engine.scheduler, "_reserve", 0)
    monkeypatch.setattr(engine.cache, "_rounded", lambda capacity: capacity)
    first = [engine.submit(asked(engine, 2, 90, key=str(i))) for i in range(2)]
    engine.advance()
    # Half a context is free, which small ones always find.
    monkeypatch.setattr(engine.cache, "bound", engine.cache.bytes + room // 2)
    large = engine.submit(whole(engine))
    little: list[Handle] = []
    for i in range(200):
        if any(each.handle is large for each in engine.scheduler._active):
            break
        little.append(engine.submit(asked(engine, 2, 2, key=f"little {i}")))
        engine.advance()
    else:
        assert patience, "the large one was never begun"
    passed = sum(handle.done for handle in little)
    assert passed > 20 if patience else not passed
    for handle in (large, *first, *little):
        handle.cancel()
    engine.advance()


def test_typing_takes_the_memory_of_who_borrows_it(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, ids = small, [each % 700 for each in range(small.context)]
    expected, typed = engine.score(ids, 2), alone(engine, asked(engine))
    handles: list[Handle] = []
    scored: list[tuple[int, int, bool]] = []

    def pressed(forward: Forward, runs: list[Run]) -> np.ndarray:
        assert engine.cache.bytes <= engine.cache.bound
        start, part = runs[0].start, runs[0].ids
        if part == ids[start : start + len(part)]:
            scored.append((start, runs[0].wanted, all(each.done for each in handles)))
            if len(scored) == 3:
                handles.append(engine.submit(asked(engine)))
                assert not engine.scheduler.step()
        return forward(runs)

    change(engine, monkeypatch, pressed)
    assert engine.score(ids, 2) == expected
    assert [start for start, _, _ in scored] == [0, 64, 128, 0, 64, 128, 192]
    assert [wanted for _, wanted, _ in scored] == [64, 64, 64, 0, 0, 0, len(ids) - 193]
    assert all(done for _, _, done in scored[3:])
    assert handles[0].result().text == typed.text and not engine.scheduler.load[1]


@pytest.mark.parametrize("patience", [0.0, 1e9])
def test_who_borrows_memory_is_not_passed_for_ever(
    small: Engine, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    engine = small
    monkeypatch.setattr(engines, "PATIENCE", patience)
    monkeypatch.setattr(engine.cache, "_rounded", lambda capacity: capacity)
    monkeypatch.setattr(engine.scheduler, "_reserve", 0)
    first = engine.submit(asked(engine, 2, 30, priority=Priority.BATCH))
    engine.advance()
    advance, later = engine.advance, list[Handle]()

    def busy(*arguments: object) -> None:
        if len(later) < 200:
            key = f"later {len(later)}"
            later.append(engine.submit(asked(engine, 2, 30, priority=Priority.BATCH, key=key)))
        advance()

    monkeypatch.setattr(engine, "advance", busy)
    assert len(engine.logits([1] * engine.context)) == engine.context
    ended = sum(handle.done for handle in later)
    assert ended > 20 if patience else not ended
    assert first.done and not engine.scheduler.lenders
    for handle in later:
        handle.cancel()
    advance()


def test_the_queue_is_bounded_for_each_class(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "QUEUE", 3)
    handles = []
    for priority in (Priority.BATCH, Priority.TYPING):
        handles += [engine.submit(asked(engine, tokens=2, priority=priority)) for _ in range(3)]
        with pytest.raises(BusyError, match="3 requests are waiting"):
            engine.submit(asked(engine, tokens=2, priority=priority))
    assert all(engine.wait(handle).tokens for handle in handles)


def test_what_a_gpu_has_is_taken_by_default(engine: Engine) -> None:
    class Gpu:
        config, device, rows = engine.runner.config, "cuda", 32
        most_bytes = 100 << 30

        def bytes_of(self, capacity: int) -> int:
            return 1 << 30

    assert engines._bound(Gpu(), 0) == Gpu.most_bytes  # type: ignore[arg-type]
    assert engines._bound(Gpu(), 3000) == 3_000_000_000  # type: ignore[arg-type]
    with pytest.raises(UserError, match="takes 1074 MB"):
        engines._bound(Gpu(), 1000)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ budgets, failures


def test_a_budget_ends_an_answer_with_what_there_is(
    engine: Engine, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(engine, 2, tokens=40, draft=False)
    free = alone(engine, request)

    def slow(forward: Forward, runs: list[Run]) -> np.ndarray:
        clock.now += 1
        return forward(runs)

    change(engine, monkeypatch, slow)
    shown: list[Piece] = []
    handle = engine.submit(replace(request, budget=9.5), shown.append)
    found = engine.wait(handle)
    assert found.stop_reason == "time" and found.tokens == 10 < free.tokens
    assert found.text and free.text.startswith(found.text)
    assert "".join(piece.text for piece in shown) == found.text == handle.text


def test_a_budget_ends_a_prompt_between_its_chunks(
    engine: Engine, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks: list[int] = []

    def slow(forward: Forward, runs: list[Run]) -> np.ndarray:
        clock.now += 1
        chunks.append(len(runs[0].ids))
        return forward(runs)

    change(engine, monkeypatch, slow)
    monkeypatch.setattr(engine.scheduler, "_chunk", lambda: 4)
    found = engine.wait(engine.submit(asked(engine, 1, budget=2.5)))
    assert (found.stop_reason, found.tokens, found.text) == ("time", 0, "") and chunks == [4] * 3


def test_a_budget_that_is_over_ends_a_request_at_once(engine: Engine) -> None:
    shown: list[Piece] = []
    found = engine.wait(engine.submit(asked(engine, budget=0.0), shown.append))
    assert [piece.completion for piece in shown] == [found]  # who streams is told too
    assert (found.stop_reason, found.tokens) == ("time", 0)


def test_numbers_that_one_of_three_lacks_fail_it_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mates = [asked(engine, place, key=key) for place, key in ((2, "a"), (0, "b"), (2, "c"))]
    expected = [alone(engine, mate) for mate in mates]
    handles = [engine.submit(mate) for mate in mates]
    passes = [0]

    def damaged(forward: Forward, runs: list[Run]) -> np.ndarray:
        logits = forward(runs).copy()
        passes[0] += len(runs) == 3
        if len(runs) == passes[0] == 3:
            [bad] = [a for a in engine.scheduler._active if a.handle is handles[1]]
            assert all(run.wanted == 1 for run in runs)
            logits[[run.keys is bad.slot.keys for run in runs]] = np.nan
        return logits

    change(engine, monkeypatch, damaged)
    for i in (0, 2):
        found = engine.wait(handles[i])
        assert (found.text, found.tokens) == (expected[i].text, expected[i].tokens)
    with pytest.raises(UserError, match="no numbers"):
        engine.wait(handles[1])
    assert passes[0] == 3 and len(engine.cache.slots) == 2


def test_a_broken_pass_fails_those_in_it_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = asked(engine, 1, priority=Priority.BATCH)
    expected = [alone(engine, each) for each in (batch, asked(engine, 2))]
    under_way = engine.submit(batch)
    step_until(engine, lambda: bool(under_way.text))
    with monkeypatch.context() as patch:
        change(engine, patch, lambda forward, runs: [][0])
        typed = engine.submit(asked(engine))
        with pytest.raises(IndexError):
            engine.wait(typed)
    later = engine.submit(asked(engine, 2))
    assert len(engine.cache.slots) == 1
    assert engine.wait(later).text == expected[1].text
    assert engine.wait(under_way).text == expected[0].text


def test_a_broken_call_of_several_steps_fails_its_answer_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def stride(self, *arguments: object) -> tuple[list[int], float]:
            raise MemoryError("no memory for this pass")

    waits = engine.submit(asked(engine, 1, priority=Priority.BATCH))
    with monkeypatch.context() as patch:
        patch.setattr(engine.scheduler, "_striding", Broken())
        patch.setattr(Scheduler, "_steps", lambda *_: 4)
        with pytest.raises(MemoryError):
            engine.wait(engine.submit(asked(engine)))
    assert engine.wait(waits).tokens and not any(slot.busy for slot in engine.cache.slots)
