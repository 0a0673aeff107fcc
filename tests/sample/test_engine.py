from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt
from codegen25.models import DEFAULT, resolve
from codegen25.sample.admission import QUIET_SECONDS
from codegen25.sample.drafting import Gate
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import ClosedError, Handle, Piece, Priority, Request
from codegen25.sample.runner import Run
from codegen25.sample.scheduler import LEAST_CHUNK, MOST_DRAFT
from codegen25.sample.stopping import Stops
from codegen25.sample.torch_runner import TorchRunner


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings(threads=1))


@pytest.fixture(scope="module")
def exact(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings(kind="float32", threads=1))


@pytest.fixture(scope="module")
def by_torch(model_dir: Path) -> Engine:
    loaded = checkpoint.load(model_dir)
    return Engine(TorchRunner(loaded.model, 8), loaded.tokenizer, loaded.form, model_dir)


def requests(engine: Engine, samples: int, temperature: float = 1.0) -> list[Request]:
    """Requests of several prompts, several samples each."""
    places = [("def f(x):\n    ", "\n"), ("import os\n" * 12, "x = 1\n"), ("y", "")]
    return [
        Request(engine.prompt(prefix, suffix, max_tokens=24), 24, Sampling(temperature), f"{i}/{k}")
        for i, (prefix, suffix) in enumerate(places)
        for k in range(samples)
    ]


def texts(engine: Engine, asked: list[Request]) -> dict[str, tuple[str, str, int]]:
    """What was answered, by the request's key."""
    return {
        asked[i].key: (each.text, each.stop_reason, each.tokens)
        for i, each in engine.answer_all(asked)
    }


@pytest.mark.parametrize("kind", ["engine", "exact", "by_torch"])
def test_an_answer_does_not_depend_on_its_company(
    kind: str, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(kind)
    asked = requests(engine, 40)
    whole = texts(engine, asked)
    assert len(whole) == 120 and len({text for text, _, _ in whole.values()}) > 60
    shuffled = list(asked)
    Random(1).shuffle(shuffled)
    assert texts(engine, shuffled) == whole
    one_each = [request for request in asked if request.key.endswith("/0")]
    assert texts(engine, one_each) == {request.key: whole[request.key] for request in one_each}
    engine.cache.clear()
    rest = shuffled[77:]  # as when a run goes on
    assert texts(engine, rest) == {request.key: whole[request.key] for request in rest}


def test_the_shipped_model_too() -> None:
    """Where a sum in another order is soon another token."""
    engine = Engine.load(resolve(DEFAULT))
    text = Path(__file__).read_text()
    places = [(text[: 300 + 40 * i], text[360 + 40 * i : 600]) for i in range(3)]
    asked = [
        Request(engine.prompt(a, b, max_tokens=20), 20, Sampling(t), f"{i}{t}{k}")
        for i, (a, b) in enumerate(places)
        for t in (0.0, 0.8)
        for k in range(7)
    ]
    whole = texts(engine, asked)
    assert texts(engine, asked[::-1]) == whole
    for request in asked[::6]:
        engine.cache.clear()
        assert texts(engine, [replace(request, draft=False)]) == {request.key: whole[request.key]}


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_and_cache_change_nothing(
    exact: Engine, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = exact.prompt("import os\n" * 12 + "x = ", "y\n", max_tokens=40)
    exact.cache.clear()
    whole = exact.answer(prompt, 40, Sampling(0.7))
    monkeypatch.setattr(exact.scheduler, "_chunk", lambda: chunk)
    exact.cache.clear()
    chunked = exact.answer(prompt, 40, Sampling(0.7))
    cached = exact.answer(prompt, 40, Sampling(0.7))
    assert chunked.text == whole.text == cached.text and chunked.cached_tokens == 0
    assert cached.cached_tokens == len(prompt.ids) - 1


def test_logits_are_those_of_torch(exact: Engine, model_dir: Path) -> None:
    model = checkpoint.load(model_dir).model
    ids = exact.tokenizer.encode(Path(__file__).read_text())[:200]
    with torch.inference_mode():
        expected = model(torch.tensor([ids]))[0].numpy()
    assert np.abs(exact.logits(ids) - expected).max() < 1e-4


def test_enough_is_enough(engine: Engine) -> None:
    prompt = engine.prompt("x = ", "", max_tokens=50, layout="causal")
    asked = Request(prompt, 50, Sampling(1.0), "", enough=lambda text: len(text) >= 3)
    [(_, answer)] = engine.answer_all([asked])
    assert answer.stop_reason == "stop" and answer.rule == "enough"
    assert len(answer.text) >= 3 and answer.tokens < 50


def test_a_stop_string_ends_an_answer_and_is_not_shown(engine: Engine) -> None:
    prompt = engine.prompt("x = ", "", max_tokens=60, layout="causal")
    free = engine.answer(prompt, 60, Sampling(1.0))
    middle = free.text[len(free.text) // 2 :][:3]
    asked = Request(prompt, 60, Sampling(1.0), stops=Stops(strings=(middle,)))
    pieces = [piece.text for piece in engine.pieces(asked)]
    assert "".join(pieces) == free.text[: free.text.index(middle)]


def test_what_is_forced_begins_the_answer_and_is_not_shown(engine: Engine) -> None:
    prompt = engine.prompt("x = ", "", max_tokens=20, layout="causal")
    plain = Request(prompt, 20, Sampling(0.8))
    for forced in ("ret", "é", "self.items"):
        answer = engine.wait(engine.submit(replace(plain, forced=forced.encode())))
        assert answer.tokens > 1 and not answer.text.startswith(forced)


@pytest.mark.parametrize("most", [1, 2, 20])
def test_what_is_forced_is_neither_counted_nor_reported(exact: Engine, most: int) -> None:
    """Nothing of it but the id that also spells what is shown."""
    prompt = exact.prompt("x = ", "", max_tokens=20, layout="causal")
    plain = Request(prompt, most, Sampling(0.8, logprobs=1))
    for forced in ("ret", "é", "self.items", "\x07" * 9):
        answer = exact.wait(exact.submit(replace(plain, forced=forced.encode())))
        ids = [each.id for each in answer.logprobs if each.id not in prompt.ends]
        spelled, text = (
            each.rstrip("\ufffd") for each in (exact.tokenizer.decode(ids), answer.text)
        )
        assert len(answer.logprobs) == answer.tokens <= most
        assert answer.stop_reason == "end" or answer.tokens == most
        assert spelled.endswith(text) and len(spelled) - len(text) < len(forced)


def test_what_is_forced_takes_no_more_than_the_context(exact: Engine) -> None:
    prompt = Prompt([5] * (exact.context - 6), frozenset([0]), Layout.CAUSAL)
    request = Request(prompt, 6, forced=b"\x07" * 4)
    answer = exact.wait(exact.submit(request))
    assert answer.stop_reason in ("length", "end") and answer.tokens <= 2


def test_logprobs_are_reported(exact: Engine) -> None:
    prompt = exact.prompt("x = ", "", max_tokens=5, layout="causal")
    answer = exact.wait(exact.submit(Request(prompt, 5, Sampling(logprobs=3))))
    assert len(answer.logprobs) == answer.tokens
    for each in answer.logprobs:
        assert each.top[0][0] == each.id and each.top[0][1] == each.logprob <= 0
        assert len(each.top) == 3


def test_a_higher_class_goes_first(engine: Engine) -> None:
    ended: list[str] = []
    asked = requests(engine, 1)
    classes = (Priority.WARM, Priority.BATCH, Priority.TYPING)
    handles = [
        engine.submit(replace(request, priority=priority))
        for request, priority in zip(asked, classes, strict=True)
    ]  # fmt: skip
    for handle in handles:
        handle.then(lambda done: ended.append(done.request.priority.name))
    for handle in handles:
        engine.wait(handle)
    assert ended == ["TYPING", "BATCH", "WARM"]


def test_a_warm_request_computes_the_prompt_alone(engine: Engine) -> None:
    prompt = engine.prompt("import sys\n" * 9, "\n", max_tokens=9)
    engine.cache.clear()
    warm = engine.wait(engine.submit(Request(prompt, 0, priority=Priority.WARM)))
    assert (warm.text, warm.tokens, warm.stop_reason) == ("", 0, "length")
    assert engine.answer(prompt, 9, Sampling()).cached_tokens == len(prompt.ids) - 1


def test_nothing_is_shared_between_owners(engine: Engine) -> None:
    prompt = engine.prompt("import sys\n" * 9, "\n", max_tokens=9)
    for owner in ("a", "b", "a"):
        answer = engine.wait(engine.submit(Request(prompt, 9, owner=owner)))
        engine.last = answer  # type: ignore[attr-defined]
    first, again = (
        engine.wait(engine.submit(Request(prompt, 9, owner=owner))) for owner in ("c", "c")
    )
    assert first.cached_tokens == 0 and again.cached_tokens == len(prompt.ids) - 1


def test_a_cancelled_request_ends_within_a_step(engine: Engine) -> None:
    handle = engine.submit(requests(engine, 1)[1])
    engine.advance()
    handle.cancel()
    engine.advance()
    assert handle.done and handle.result().stop_reason == "cancelled"
    assert engine.scheduler.load == (0, 0)


def test_a_thousand_cancels_leave_no_slot_busy(engine: Engine) -> None:
    rng = Random(0)
    asked = requests(engine, 4)
    for i in range(1000):
        handle = engine.submit(asked[i % len(asked)])
        for _ in range(rng.randrange(3)):
            engine.advance()
        handle.cancel()
    while engine.scheduler.step():
        pass
    assert engine.scheduler.load == (0, 0) and not any(s.busy for s in engine.cache.slots)
    assert engine.answer(asked[0].prompt, 5, Sampling()).tokens >= 1


def test_a_reader_that_stops_reading_ends_the_request(engine: Engine) -> None:
    pieces = engine.pieces(requests(engine, 1)[0])
    next(pieces)
    pieces.close()
    assert engine.scheduler.load == (0, 0)


def test_a_callback_that_raises_ends_its_own_request_alone(engine: Engine) -> None:
    def broken(piece: Piece) -> None:
        raise RuntimeError("a reader's fault")

    first, second, _ = requests(engine, 1)
    bad, good = engine.submit(first, broken), engine.submit(second)
    assert engine.wait(good).tokens >= 1
    with pytest.raises(RuntimeError, match="a reader's fault"):
        engine.wait(bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": -1}, "max-tokens is -1"),
        ({"max_tokens": 10**9}, "exceed the model's"),
        ({"prompt": Prompt([5, 10**6], frozenset([1]), Layout.CAUSAL)}, "1000000 is outside"),
        ({"prompt": Prompt([-1], frozenset([1]), Layout.CAUSAL)}, "-1 is outside"),
        ({"prompt": Prompt([1] * 300, frozenset([1]), Layout.CAUSAL)}, "300 tokens of prompt"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    engine: Engine, change: dict[str, object], message: str
) -> None:
    request = replace(requests(engine, 1)[0], **change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        engine.submit(request)
    assert engine.scheduler.load == (0, 0)


def test_a_model_that_computes_no_numbers_fails_the_request_alone(model_dir: Path) -> None:
    loaded = checkpoint.load(model_dir)
    damaged = loaded.model.model.embed_tokens.weight.clone()
    damaged[7] = torch.nan
    loaded.model.model.embed_tokens.weight = torch.nn.Parameter(damaged, requires_grad=False)
    runner = TorchRunner(loaded.model, 4)
    engine = Engine(runner, loaded.tokenizer, loaded.form, model_dir)
    bad = Prompt([3, 7, 9], frozenset([0]), Layout.CAUSAL)
    with pytest.raises(UserError, match="no numbers"):
        engine.answer(bad, 5, Sampling())
    # Its row of the tied head is NaN for every prompt, so the engine's life is what is shown.
    assert engine.scheduler.load == (0, 0)


def test_a_broken_pass_fails_what_is_under_way_and_the_engine_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(runs: object) -> np.ndarray:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "forward", broken)
        handle = engine.submit(requests(engine, 1)[0])
        with pytest.raises(MemoryError):
            engine.wait(handle)
    assert engine.wait(engine.submit(requests(engine, 1)[0])).tokens >= 1


def test_the_loop_in_a_thread_answers_many_threads_and_coroutines(model_dir: Path) -> None:
    engine = Engine.load(model_dir, Settings(threads=1))
    asked = requests(engine, 6)
    expected = texts(engine, asked)
    engine.start()
    found: dict[str, str] = {}

    def ask(request: Request) -> None:
        found[request.key] = engine.wait(engine.submit(request)).text

    async def ask_all() -> list[str]:
        return [a.text for a in await asyncio.gather(*(engine.ask(each) for each in asked))]

    try:
        threads = [threading.Thread(target=ask, args=(each,)) for each in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == {key: text for key, (text, _, _) in expected.items()}
        assert asyncio.run(ask_all()) == [expected[each.key][0] for each in asked]
    finally:
        engine.close()


def test_a_cancelled_coroutine_cancels_its_request(model_dir: Path) -> None:
    engine = Engine.load(model_dir, Settings(threads=1))
    engine.start()
    handles: list[Handle] = []
    submit = engine.submit

    def noted(request: Request, on_piece: object = None) -> Handle:
        handles.append(submit(request, on_piece))  # type: ignore[arg-type]
        return handles[-1]

    engine.submit = noted  # type: ignore[method-assign]

    async def give_up() -> None:
        prompt = engine.prompt("x", "", max_tokens=200, layout="causal")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(engine.ask(Request(prompt, 200, Sampling(1.0))), 0.001)

    try:
        asyncio.run(give_up())
        assert handles[0].wait(30) and handles[0].result().stop_reason in ("cancelled", "end")
    finally:
        engine.close()


def test_closing_fails_what_is_under_way(model_dir: Path) -> None:
    engine = Engine.load(model_dir, Settings(threads=1))
    engine.start()
    prompt = engine.prompt("x", "", max_tokens=200, layout="causal")
    handles = [engine.submit(Request(prompt, 200, Sampling(1.0), str(i))) for i in range(200)]
    engine.close()
    errors = [handle.error for handle in handles if handle.completion is None]
    assert all(handle.done for handle in handles) and len(errors) > 100
    assert all(isinstance(error, ClosedError) for error in errors)


def test_a_request_that_cannot_begin_fails_alone(engine: Engine) -> None:
    good = requests(engine, 1)
    bad = replace(good[0], forced=b"\xc3")  # half a character
    handles = [engine.submit(each) for each in (good[1], bad, good[2])]
    for handle in (handles[0], handles[2]):
        assert engine.wait(handle).tokens >= 1
    with pytest.raises(UnicodeDecodeError):
        engine.wait(handles[1])
    assert not any(slot.busy for slot in engine.cache.slots)


def test_what_waits_ends_by_its_budget_and_by_cancelling(engine: Engine) -> None:
    asked = requests(engine, 30)
    handles = [engine.submit(request) for request in asked]
    late = engine.submit(replace(asked[0], priority=Priority.WARM, budget=0.0))
    gone = engine.submit(replace(asked[0], priority=Priority.WARM))
    gone.cancel()
    engine.advance()
    assert late.result().stop_reason == "time" and gone.result().stop_reason == "cancelled"
    for handle in handles:
        handle.cancel()
    engine.advance()


def test_a_batch_that_is_given_up_goes_no_further(engine: Engine) -> None:
    answers = engine.answer_all(requests(engine, 30))
    next(answers)
    answers.close()
    engine.advance()
    assert engine.scheduler.load == (0, 0)


def test_typing_does_not_wait_for_a_paused_class(engine: Engine) -> None:
    engine.cache.clear()
    prompt = engine.prompt("import sys\n" * 15, "\n", max_tokens=9)
    warm = engine.submit(Request(prompt, 0, priority=Priority.WARM))
    typed = engine.submit(Request(prompt, 2))
    other = engine.submit(Request(engine.prompt("y", "", max_tokens=60, layout="causal"), 60))
    engine.wait(typed)
    for handle in (warm, other):
        engine.wait(handle)


def test_a_callback_at_the_end_that_raises_harms_nobody(engine: Engine) -> None:
    handle = engine.submit(requests(engine, 1)[0])
    handle.then(lambda done: [].pop())
    assert engine.wait(handle).tokens >= 1


def test_logits_of_ids_that_no_model_has_are_refused(engine: Engine) -> None:
    for ids in ([1, 10**6], [-1], [1] * 300):
        with pytest.raises(UserError):
            engine.logits(ids)


@pytest.fixture(scope="module")
def shipped() -> Engine:
    return Engine.load(resolve(DEFAULT), Settings(threads=2))


def greedy(engine: Engine) -> Request:
    """A request that the shipped model answers with some lines."""
    text = Path(__file__).read_text()
    prompt = engine.prompt(text[:900], "", max_tokens=40, layout="causal")
    return Request(prompt, 40, Sampling(), draft=False)


def strided(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many ids each call of several steps drew, from now on; the gate is told of a step."""
    calls: list[int] = []
    stride = engine.runner.stride  # type: ignore[attr-defined]

    def noted(*arguments: object) -> tuple[list[int], float]:
        ids, first = stride(*arguments)
        calls.append(len(ids))
        return ids, first

    monkeypatch.setattr(engine.runner, "stride", noted, raising=False)
    engine.scheduler.gate = Gate(MOST_DRAFT)
    engine.scheduler.gate.timed(0, 0.1)
    return calls


def test_several_steps_in_one_call_change_nothing(
    shipped: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, plain = shipped, greedy(shipped)
    free = engine.wait(engine.submit(plain))
    assert len(free.text) > 20
    asked = [plain, *(replace(plain, max_tokens=n) for n in (1, 2, 9))]
    asked += [replace(plain, stops=Stops(strings=(free.text[k : k + 3],))) for k in (0, 7, 15)]
    asked += [replace(plain, enough=lambda text: len(text) >= 9)]
    asked += [replace(plain, stops=Stops.editor()), replace(plain, draft=True)]
    calls = strided(engine, monkeypatch)
    answers, lengths = [], []
    for several in (True, False):
        if not several:
            monkeypatch.setattr(engine.scheduler, "_striding", None)
        for request in asked:
            engine.cache.clear()
            pieces: list[str] = []
            handle = engine.submit(request, lambda piece, to=pieces: to.append(piece.text))
            answer = engine.wait(handle)
            answers.append((answer.text, pieces, answer.stop_reason, answer.rule, answer.tokens))
            lengths.append([slot.tokens[: slot.length].tolist() for slot in engine.cache.slots])
            assert answer.prefill_ms > 0
    half = len(asked)
    assert answers[:half] == answers[half:] and lengths[:half] == lengths[half:]
    assert len(calls) > half / 2 and max(calls) > 4


def test_a_callback_that_cancels_is_heard_within_a_call(
    shipped: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, request = shipped, greedy(shipped)
    calls = strided(engine, monkeypatch)
    shown: list[str] = []
    handles: list[Handle] = []

    def cancel(piece: Piece) -> None:
        shown.append(piece.text)
        handles[0].cancel()

    engine.wait(engine.submit(request))
    handles.append(engine.submit(request, cancel))
    answer = engine.wait(handles[0])
    assert answer.stop_reason == "cancelled" and answer.text == shown[0] and max(calls) > 1
    assert engine.wait(engine.submit(request)).text.startswith(answer.text)


def test_a_row_without_numbers_fails_after_several_steps_too(
    shipped: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, request = shipped, greedy(shipped)
    strided(engine, monkeypatch)
    forward = engine.runner.forward
    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "stride", lambda *_: ([], 0.0), raising=False)
        patch.setattr(engine.runner, "forward", lambda runs: forward(runs) * np.nan)
        with pytest.raises(UserError, match="no numbers"):
            engine.wait(engine.submit(request))
    assert engine.wait(engine.submit(request)).tokens >= 1


def test_typing_needs_no_row_of_batch_work(engine: Engine) -> None:
    batch = [replace(each, priority=Priority.BATCH) for each in requests(engine, 20)]
    handles = [engine.submit(each) for each in batch]
    for _ in range(12):
        engine.advance()
    running, waiting = engine.scheduler.load
    assert running == engine.runner.rows and waiting
    typed = engine.submit(Request(engine.prompt("y", "", max_tokens=4, layout="causal"), 4))
    ended = sum(handle.done for handle in handles)
    engine.wait(typed)
    assert sum(handle.done for handle in handles) == ended
    for handle in handles:
        handle.cancel()
    engine.advance()
    assert engine.scheduler.load == (0, 0)


def test_chunks_are_large_for_batch_work_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = engine.scheduler
    monkeypatch.setattr(scheduler, "_pace", 640.0)
    sizes: list[int] = []
    monkeypatch.setattr(scheduler, "_pass", lambda answers: sizes.append(scheduler._chunk()))
    request = requests(engine, 1)[0]
    for typed_before, priority in ((False, Priority.BATCH), (True, Priority.BATCH),
                                   (False, Priority.TYPING), (False, Priority.WARM)):  # fmt: skip
        handle = engine.submit(replace(request, priority=priority))
        scheduler._pressed = time.perf_counter() - (0 if typed_before else 2 * QUIET_SECONDS)
        scheduler.step()
        handle.cancel()
        scheduler.step()
    assert sizes == [320, 64, 64, 64]


def test_what_was_typed_outlives_batch_work(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.runner.bytes_of(engine.context)
    monkeypatch.setattr(engine.cache, "bound", 4 * whole)
    monkeypatch.setattr(engine.scheduler, "_reserve", whole)
    engine.cache.clear()
    typed = Request(engine.prompt("import sys\n" * 9, "\n", max_tokens=9), 9)
    engine.wait(engine.submit(typed))
    batch = [
        Request(
            engine.prompt(f"{chr(97 + i)} = {i}", "", max_tokens=4, layout="causal"), 4,
            key=str(i), priority=Priority.BATCH,
        )
        for i in range(32)
    ]  # fmt: skip
    assert len(list(engine.answer_all(batch))) == 32
    assert engine.cache.bytes > 2 * whole
    again = engine.wait(engine.submit(typed))
    assert again.cached_tokens == len(typed.prompt.ids) - 1


def test_the_pace_is_that_of_chunks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.scheduler, "_pace", 0.0)
    engine.cache.clear()
    short = engine.prompt("y", "", max_tokens=20, layout="causal")
    asked = [Request(short, 20, Sampling(1.0), str(i)) for i in range(40)]
    list(engine.answer_all(asked))
    assert not engine.scheduler._pace
    prompt = engine.prompt("import sys\n" * 15, "\n", max_tokens=2)
    assert len(prompt.ids) >= LEAST_CHUNK
    engine.answer(prompt, 2, Sampling())
    assert engine.scheduler._pace > 0


def test_scoring_stays_within_the_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = engine.runner.bytes_of(engine.context)
    monkeypatch.setattr(engine.cache, "bound", whole)
    engine.cache.clear()
    ids = [each % 700 for each in range(engine.context)]
    taken: list[int] = []
    forward = engine.runner.forward

    def noted(runs: list[Run]) -> np.ndarray:
        keys = {id(slot.keys): slot.keys.bytes for slot in engine.cache.slots}
        keys |= {id(run.keys): run.keys.bytes for run in runs}
        taken.append(sum(keys.values()))
        return forward(runs)

    monkeypatch.setattr(engine.runner, "forward", noted)
    for measure in (engine.score, engine.logits):
        handle = engine.submit(requests(engine, 1)[0])
        engine.advance()
        assert len(measure(ids)) >= len(ids) - 1
        engine.wait(handle)
    assert max(taken) <= whole and not any(slot.busy for slot in engine.cache.slots)


def test_who_gave_up_waits_for_no_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.cache, "bound", engine.runner.bytes_of(engine.context))
    engine.cache.clear()
    handle = engine.submit(requests(engine, 1)[0])
    engine.advance()
    assert engine.score([1] * engine.context, 1, lambda: True) == [] and not handle.done
    handle.cancel()
    engine.advance()


def test_ending_a_queue_compares_no_pairs(engine: Engine) -> None:
    compared = []

    class Entry(tuple[int, int, Handle]):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return super().__eq__(other)

        __hash__ = tuple.__hash__

    scheduler, handles = engine.scheduler, [Handle(requests(engine, 1)[0]) for _ in range(50)]
    for handle in handles[:40]:
        handle.cancel()
    scheduler._waiting._heap = [Entry((1, i, handle)) for i, handle in enumerate(handles)]
    scheduler._end_early()
    assert [handle.done for handle in handles] == [True] * 40 + [False] * 10
    assert len(scheduler._waiting) == 10 and not compared
    scheduler._waiting._heap = []
