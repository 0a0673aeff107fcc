"""A second model drafts: the same answers, its memory, and the gate that switches it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_helpers import ticking

from codegen25 import checkpoint, vocabulary
from codegen25.bench import shapes
from codegen25.errors import UserError
from codegen25.sample.admission import QUIET_SECONDS
from codegen25.sample.draft_model import FEW, DraftModel, ModelGate, directory_of
from codegen25.sample.drafting import Gate
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.native.runner import NativeRunner
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Priority, Request
from codegen25.sample.runner import Run
from codegen25.sample.scheduler import MOST_DRAFT
from codegen25.sample.torch_runner import TorchRunner
from codegen25.serve.command import Options, models
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Shape

PLACES = [("def f(x):\n    ", "\n"), ("import os\n" * 12, "x = 1\n"), ("y", "")]
TEMPERATURES = [0.0, 0.7]


class Open(ModelGate):
    """Always asks for a draft."""

    def width(self) -> int:
        return 4

    def affords(self, tokens: int, ms: float) -> bool:
        return True


class Shut(Gate):
    """Never asks for one."""

    def width(self) -> int:
        return 0


def random(folder: Path, tokenizer: Tokenizer, seed: int, context: int = 256) -> Path:
    """A model whose answers are no repetition, as those of one that is merely untrained are."""
    shape = Shape(layers=2, hidden=32, heads=2, context=context)
    shapes.write(folder, shape.config(tokenizer.vocab_size), seed=seed, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return random(tmp_path_factory.mktemp("drafts") / "model", tokenizer, 0)


@pytest.fixture(scope="module")
def hostile_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return random(tmp_path_factory.mktemp("drafts") / "hostile", tokenizer, 7)


@pytest.fixture(scope="module")
def short_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return random(tmp_path_factory.mktemp("drafts") / "short", tokenizer, 0, context=64)


def load(model_dir: Path, draft: Path | None) -> Engine:
    """One that takes a step at a time and looks nothing up."""
    engine = Engine.load(model_dir, Settings(kind="float32", threads=1, draft=draft))
    engine.scheduler.gate, engine.scheduler._striding = Shut(MOST_DRAFT), None
    if draft is not None:
        drafter(engine).gate = Open(MOST_DRAFT)
    return engine


def drafter(engine: Engine) -> DraftModel:
    assert engine.scheduler.model is not None
    return engine.scheduler.model


@pytest.fixture(scope="module")
def plain(model_dir: Path) -> Engine:
    return load(model_dir, None)


@pytest.fixture
def twin(model_dir: Path) -> Engine:
    """One whose draft model is its own."""
    return load(model_dir, model_dir)


@pytest.fixture
def hostile(model_dir: Path, hostile_dir: Path) -> Engine:
    """One whose draft model knows nothing of it."""
    return load(model_dir, hostile_dir)


@pytest.fixture(params=["twin", "hostile"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock by which whatever is timed takes a millisecond."""
    return ticking(monkeypatch, 1e-3)


def asked(engine: Engine, place: int = 0, tokens: int = 40, **more: object) -> Request:
    prompt = engine.prompt(*PLACES[place], max_tokens=tokens)
    made = Request(prompt, tokens, Sampling(0.7, seed=1), str(place))
    return replace(made, **more)  # type: ignore[arg-type]


def ask(engine: Engine, request: Request) -> Completion:
    return engine.wait(engine.submit(request))


def said(found: Completion) -> tuple[str, str, int]:
    return found.text, found.stop_reason, found.tokens


def step_until(engine: Engine, what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        engine.advance()
    raise AssertionError("nothing came of a thousand steps")


# -------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_draft_model_changes_no_answer(plain: Engine, engine: Engine, temperature: float) -> None:
    drafted = 0
    for _ in range(2):  # from nothing, then from what both models' caches hold
        for place in range(len(PLACES)):
            request = asked(engine, place, sampling=Sampling(temperature, seed=3))
            found = ask(engine, request)
            assert said(found) == said(ask(plain, request))
            drafted += found.drafted
    assert drafted > 100 and found.cached_tokens > 0


def test_what_it_leaves_in_the_cache_is_the_answer(plain: Engine, engine: Engine) -> None:
    left = []
    for each in (plain, engine):
        each.cache.clear()
        ask(each, asked(each))
        [slot] = each.cache.slots
        left.append(slot.tokens[: slot.length].tolist())
    assert left[0] == left[1]


def test_the_model_itself_accepts_everything(twin: Engine) -> None:
    found = ask(twin, asked(twin, sampling=Sampling(0.0)))
    assert found.drafted == found.accepted > 0.7 * found.tokens


def test_a_draft_is_accepted_as_often_as_its_tokens_are_drawn(twin: Engine) -> None:
    found = ask(twin, asked(twin, sampling=Sampling(0.7, seed=1)))
    assert found.drafted > found.accepted


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_company_changes_no_answer(plain: Engine, engine: Engine, temperature: float) -> None:
    requests = [
        asked(engine, i % 3, 8 + 4 * i, key=str(i), sampling=Sampling(temperature, seed=3))
        for i in range(6)
    ]
    expected = {i: said(found) for i, found in plain.answer_all(requests)}
    found = dict(engine.answer_all(requests))
    assert {i: said(each) for i, each in found.items()} == expected
    assert found[5].drafted > 0  # the last is alone at last


def test_who_is_cancelled_leaves_nothing(plain: Engine, engine: Engine) -> None:
    request = asked(engine, tokens=100)
    handle = engine.submit(request)
    step_until(engine, lambda: len(handle.text) > 9)
    handle.cancel()
    assert engine.wait(handle).stop_reason == "cancelled"
    assert not any(slot.busy for slot in drafter(engine).cache.slots)
    assert said(ask(engine, request)) == said(ask(plain, request))


def test_typing_and_what_gives_way_to_it(
    plain: Engine, engine: Engine, clock: SimpleNamespace
) -> None:
    whole = engine.runner.bytes_of(engine.context)
    engine.cache.bound, engine.scheduler._reserve = whole, whole // 4
    batch = asked(engine, 1, engine.context - 80, priority=Priority.BATCH)
    typed = asked(engine)
    expected = [said(ask(plain, each)) for each in (batch, typed)]
    engine.scheduler._pressed = -QUIET_SECONDS
    handle = engine.submit(batch)
    step_until(engine, lambda: len(handle.text) > 9)
    found = ask(engine, typed)
    assert engine.scheduler._paused and said(found) == expected[1] and found.drafted
    clock.now += QUIET_SECONDS
    assert said(engine.wait(handle)) == expected[0] and handle.result().drafted
    assert drafter(engine).cache.bytes <= drafter(engine).bytes


def test_the_steps_at_once_of_a_small_model(plain: Engine, twin: Engine) -> None:
    strides: list[int] = []
    runner = twin.runner
    assert isinstance(runner, NativeRunner)

    def stride(*order: Any) -> Any:
        strides.append(order[3])
        return runner.stride(*order)

    twin.scheduler._striding = SimpleNamespace(stride=stride)
    for temperature in TEMPERATURES:
        twin.cache.clear()
        twin.scheduler.gate.timed(0, 0.1)
        request = asked(twin, sampling=Sampling(temperature, seed=3))
        assert said(ask(twin, request)) == said(ask(plain, request))
    assert strides


def test_look_up_goes_first(twin: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin.scheduler, "_look_up", lambda answer: [1])
    monkeypatch.setattr(DraftModel, "draft", lambda *_: pytest.fail("drafted"))
    found = ask(twin, asked(twin, tokens=12))
    assert found.drafted > 0


def test_torch_drafts_one_by_one(plain: Engine, model_dir: Path) -> None:
    torch_runner = TorchRunner(checkpoint.load(model_dir).model)
    made = Engine(plain.runner, plain.tokenizer, plain.form, model_dir, draft=torch_runner)
    made.scheduler.gate, made.scheduler._striding = Shut(MOST_DRAFT), None
    drafter(made).gate = Open(MOST_DRAFT)
    assert torch_runner.rows == 1
    request = asked(made, sampling=Sampling(0.0))
    found = ask(made, request)
    assert said(found) == said(ask(plain, request))
    assert found.accepted > 0.9 * found.drafted > 0


# ------------------------------------------------------------------------------- what is refused


def test_a_short_context_ends_the_drafting(plain: Engine, model_dir: Path, short_dir: Path) -> None:
    engine = load(model_dir, short_dir)
    request = asked(engine, tokens=150)
    found = ask(engine, request)
    assert said(found) == said(ask(plain, request))
    assert 0 < found.drafted <= 4 * 64 < 4 * found.tokens
    longer = asked(engine, prompt=replace(request.prompt, ids=9 * request.prompt.ids))
    assert len(longer.prompt.ids) > 64 and ask(engine, longer).drafted == 0
    assert engine.scheduler.model is not None  # it did not fail


def test_an_id_that_it_lacks_ends_the_drafting(hostile: Engine) -> None:
    model, request = drafter(hostile), asked(hostile)
    size = hostile.runner.config.vocab_size
    assert model.draft([size - 1], request, 4, 4, 64)
    assert model.draft([size], request, 4, 4, 64) == []


def test_another_tokenizer_is_the_users_mistake(
    model_dir: Path,
    tmp_path: Path,
    source_texts: list[str],
    run: Callable[..., tuple[int, str, str]],
) -> None:
    other = random(tmp_path / "other", vocabulary.train(iter(source_texts[:9]), 700), 1)
    with pytest.raises(UserError, match=r"ids differ \(id \d+ is .*, not .*\)"):
        Engine.load(model_dir, Settings(draft=other))
    (tmp_path / "a.py").write_text("x = 1\n")
    code, out, err = run("complete", tmp_path / "a.py", "--model", model_dir, "--draft", other)
    assert (code, out, err.count("\n")) == (2, "", 1) and str(other) in err


def test_more_ids_than_the_model_has_are_never_drafted(
    model_dir: Path, hostile_dir: Path, tokenizer: Tokenizer
) -> None:
    assert directory_of(hostile_dir, tokenizer).folder == hostile_dir
    runner = load(hostile_dir, None).runner
    kept = DraftModel(runner, [], 300, MOST_DRAFT)
    free = DraftModel(runner, [], tokenizer.vocab_size, MOST_DRAFT)
    request = asked(load(model_dir, None))
    drafts = []
    for model in (kept, free):
        model.gate = Open(MOST_DRAFT)
        drafts.append([i for t in range(99) for i in model.draft([t], request, 4, 4, 64)])
    assert max(drafts[0]) < 300 < max(drafts[1])


def test_drafts_of_llama_cpp_and_unknown_models_are_refused() -> None:
    with pytest.raises(UserError, match="--draft is for our own engine"):
        models(Options(engine="llama.cpp", draft="default"))
    with pytest.raises(UserError, match="'nobody' is unknown"):
        models(Options(draft="nobody"))


def test_the_command_line_drafts(
    run: Callable[..., tuple[int, str, str]], model_dir: Path, hostile_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    ")
    call = "complete", tmp_path / "a.py", "--model", model_dir, "--max-tokens", 30
    assert run(*call, "--draft", hostile_dir)[:2] == run(*call)[:2]


# ---------------------------------------------------------------------------- memory and failure


def test_its_memory_is_bounded_and_of_the_engines(
    model_dir: Path, hostile: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = drafter(hostile)
    for i in range(12):
        for owner in "ab":
            ask(hostile, asked(hostile, i % 3, 30, key=str(i), owner=owner))
            assert 0 < model.cache.bytes <= model.bytes
    make = hostile.runner, hostile.tokenizer, hostile.form, model_dir
    made = Engine(*make, cache_mb=9, draft=model._runner)
    assert made.cache.bound == 9_000_000 - model.bytes
    monkeypatch.setattr(NativeRunner, "bytes_of", lambda *_: 3_000_000)
    assert Engine(*make, cache_mb=6, draft=model._runner).cache.bound == 3_000_000
    with pytest.raises(UserError, match="and one of the draft model's takes 6 MB"):
        Engine(*make, cache_mb=5, draft=model._runner)


def test_a_long_text_is_read_in_parts(hostile: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = drafter(hostile), list[int]()
    forward = model._runner.forward

    def noted(runs: Sequence[Run]) -> np.ndarray:
        read.extend(len(run.ids) for run in runs)
        return forward(runs)

    monkeypatch.setattr(model._runner, "forward", noted)
    text, request = list(range(200)), asked(hostile)
    drafts = [model.draft(text, request, 9, 4, 64) for _ in range(5)]
    assert read == [64, 64, 64] and drafts[:3] == [[]] * 3 and drafts[3] == drafts[4] != []
    changed = [*text[:-FEW], *range(1, FEW)]
    assert model.draft(changed, request, 9, 4, 64) and read == [64, 64, 64]
    assert model.draft(text, replace(request, owner="other"), 9, 4, 64) == [] and len(read) == 4
    assert [slot.owner for slot in model.cache.slots] == ["other"]  # there is room for one


def test_what_is_not_worth_reading_is_not_read(
    hostile: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, request = drafter(hostile), asked(hostile)
    monkeypatch.setattr(Open, "affords", lambda *_: False)
    monkeypatch.setattr(model._runner, "forward", lambda *_: pytest.fail("read"))
    assert model.draft(list(range(FEW + 1)), request, 9, 4, 64) == []
    assert model.draft(list(range(FEW)), request, 9, 4, 64)  # so few are a part of drafting


def test_one_that_fails_drafts_no_more(
    plain: Engine, hostile: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafter(hostile)._runner, "stride", lambda *_: ([], 0.0))
    request = asked(hostile)
    found = ask(hostile, request)
    assert hostile.scheduler.model is None and found.drafted == 0
    assert said(found) == said(ask(plain, request))


# -------------------------------------------------------------------------------- whether it pays


def test_the_gate_stays_open_for_one_that_is_right(twin: Engine, clock: SimpleNamespace) -> None:
    drafter(twin).gate = ModelGate(MOST_DRAFT)
    found = ask(twin, asked(twin, tokens=150, sampling=Sampling(0.0)))
    assert drafter(twin).gate.pays and found.accepted > 0.7 * found.tokens


def test_the_gate_shuts_out_one_that_is_wrong(
    plain: Engine, hostile: Engine, clock: SimpleNamespace
) -> None:
    drafter(hostile).gate = ModelGate(MOST_DRAFT)
    request = asked(hostile, tokens=150)
    found = ask(hostile, request)
    assert said(found) == said(ask(plain, request))
    assert not drafter(hostile).gate.pays and 0 < found.drafted < 60
    assert ask(hostile, replace(request, key="later")).drafted < 20  # it is tried now and then


def test_what_drafting_takes_counts(twin: Engine, clock: SimpleNamespace) -> None:
    model = drafter(twin)
    model.gate, draft = ModelGate(MOST_DRAFT), model.draft

    def dear(*args: object) -> list[int]:
        ids = draft(*args)  # type: ignore[arg-type]
        clock.now += 0.001 * len(ids)
        return ids

    model.draft = dear  # type: ignore[method-assign,assignment]
    found = ask(twin, asked(twin, tokens=150, sampling=Sampling(0.0)))
    assert found.drafted == found.accepted and not model.gate.pays


def test_reading_has_to_be_worth_it() -> None:
    gate = ModelGate()
    for width, ms in ((0, 10.0), (8, 12.0)):
        gate.timed(width, ms)
    assert gate.pays and gate.affords(20, 100.0) and not gate.affords(20, 200.0)
    for _ in range(60):
        gate.learn(8, 0)
    assert not gate.pays and gate.affords(20, 0.0) and not gate.affords(20, 5.0)
    for _ in range(9):
        gate.width()
    assert not gate.affords(20, 5.0)
    gate.width()
    assert gate.affords(20, 5.0)  # a twentieth of ten steps


@given(st.lists(st.integers(1, 8), max_size=60), st.floats(0.1, 50), st.integers(0, 200))
def test_a_shut_gate_loses_little_by_reading(accepted: list[int], ms: float, refused: int) -> None:
    gate = ModelGate()
    for width in range(9):
        gate.timed(width, 10.0 + 10 * width)
    for each in accepted:
        gate.learn(8, each)
    for _ in range(refused):
        gate.width()
    assert not gate.pays
    assert not gate.affords(1000, ms) or ms <= 0.05 * 10.0 * refused
