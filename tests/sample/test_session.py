from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.models import DEFAULT, resolve
from codegen25.sample.context import Repository
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion
from codegen25.sample.session import ROOM, Options, Session, Surroundings

TEXT = Path(__file__).with_name("test_cache.py").read_text()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(resolve(DEFAULT))


@pytest.fixture
def session(engine: Engine) -> Session:
    engine.cache.clear()
    return Session(engine, Options(max_tokens=12))


def test_a_keystroke_costs_the_tokens_typed(engine: Engine) -> None:
    session = Session(engine, Options(max_tokens=4, heal=False))
    at = TEXT.index("def fill")
    session.suggest(TEXT[:at], TEXT[at + 200 :])
    costs = []
    for i in range(1, 120):
        completion = session.suggest(TEXT[: at + i], TEXT[at + 200 :])
        if completion.rule != "typed through":
            costs.append(completion.prompt_tokens - completion.cached_tokens)
    assert sorted(costs)[len(costs) // 2] <= 2


def test_typing_what_was_suggested_costs_nothing(session: Session, engine: Engine) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    first = session.suggest(prefix, suffix)
    assert len(first.text) > 5
    for i in range(1, len(first.text)):
        again = session.suggest(prefix + first.text[:i], suffix)
        assert again.text == first.text[i:] and again.rule == "typed through"
        assert again.tokens == 0 and again.prefill_ms == 0
    other = session.suggest(prefix + "\x00", suffix)
    assert other.rule != "typed through"


def test_backspace_and_other_edits_are_answered_afresh(session: Session) -> None:
    at = TEXT.index("def fill")
    a = session.suggest(TEXT[:at], TEXT[at:])
    b = session.suggest(TEXT[: at - 30], TEXT[at:])
    c = session.suggest(TEXT[:at], TEXT[at + 9 :])
    d = session.suggest(TEXT[:at], TEXT[at:])
    assert d.text == a.text and all(each.prompt_tokens > 9 for each in (a, b, c))


def test_an_answer_does_not_depend_on_how_one_got_there(engine: Engine) -> None:
    at = TEXT.index("slot.keys.held[slot.length] = token") + 5
    prefix, suffix = TEXT[:at], TEXT[at + 30 :]
    engine.cache.clear()
    fresh = Session(engine, Options(max_tokens=12)).suggest(prefix, suffix)
    engine.cache.clear()
    typed = Session(engine, Options(max_tokens=12))
    for i in range(prefix.rfind("\n") + 1, at + 1):
        last = engine.wait(engine.submit(typed.request(TEXT[:i], suffix)))
    assert last.cached_tokens and not fresh.cached_tokens
    assert (last.text, last.tokens) == (fresh.text, fresh.tokens) and len(fresh.text) > 3


def test_a_running_answer_that_agrees_is_attached_to(session: Session, engine: Engine) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    whole = engine.wait(engine.submit(session.request(prefix, suffix)))
    handle = session.begin(prefix, suffix)
    while len(handle.text) < 3 and not handle.done:
        engine.advance(handle)
    typed = whole.text[:4]
    attached = session.suggest(prefix + typed, suffix)
    assert handle.done and attached.text == whole.text[4:]
    handle = session.begin(prefix, suffix)
    other = session.suggest(prefix + "@", suffix)
    assert handle.cancelled and other.prompt_tokens


def test_idle_time_prefetches_and_moves_the_anchor(session: Session, engine: Engine) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    first = session.suggest(prefix, suffix)
    for handle in session.idle(prefix, suffix):
        engine.wait(handle)
    accepted = session.suggest(prefix + first.text, suffix)
    assert accepted.rule == "typed through" or not accepted.text
    longer = prefix + "x = 1\n        y = 2\n        "
    session.suggest(longer, suffix)
    warmed = [engine.wait(handle) for handle in session.idle(longer, suffix)]
    assert warmed
    moved = engine.wait(engine.submit(session.request(longer + "z", suffix)))
    assert moved.prompt_tokens - moved.cached_tokens <= 2 < moved.cached_tokens


def test_an_endless_line_is_cut(session: Session) -> None:
    completion = session.suggest(TEXT[:300] + "\n" + "x + " * 4 * ROOM, TEXT[300:600])
    assert completion.prompt_tokens <= session.engine.context


def test_healing_joins_a_ragged_word(engine: Engine) -> None:
    """`retu` is nobody's token: without healing a model can't write `rn`."""
    prefix = "def f(x):\n    y = x + 1\n    retu"
    healed = Session(engine, Options(max_tokens=8)).suggest(prefix, "\n\n")
    assert healed.text.startswith("rn")


def test_context_stands_in_front_and_stays(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        'def area(width, height):\n    """Width times height."""\n    return width * height\n'
    )
    prefix = "from shapes import area\n\n\ndef both(a, b):\n    x = "
    around = Surroundings(Repository(tmp_path), "main.py")
    session = Session(engine, Options(max_tokens=8), around)
    first = session.request(prefix, "\n").prompt.ids
    shown = engine.tokenizer.decode(first)
    assert "def area(width, height)" in shown and shown.index("def area") < shown.index("def both")
    typed = session.request(prefix + "area(\n    y = ", "\n").prompt.ids
    assert typed[: len(first) - 4] == first[: len(first) - 4]
    alone = Session(engine, Options(max_tokens=8)).request(prefix, "\n").prompt.ids
    assert first[-len(alone) :] == alone


def test_accepted_answers_are_sources_of_drafts(session: Session) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    first = session.suggest(prefix, suffix)
    assert session.request(prefix, suffix).sources == ()
    [accepted] = session.request(prefix + first.text + "\n", suffix).sources
    assert session.engine.tokenizer.decode(accepted) == first.text


def test_other_files_are_sources_of_drafts_though_they_are_not_shown(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "shapes.py").write_text(
        'def area(width, height):\n    """Width times height."""\n    return width * height\n'
    )
    prefix = "from shapes import area\n\n\ndef both(a, b):\n    x = "
    around = Surroundings(Repository(tmp_path), "main.py", budget=0)
    request = Session(engine, Options(max_tokens=8), around).request(prefix, "\n")
    assert "Width times" not in engine.tokenizer.decode(request.prompt.ids)
    assert any("Width times" in engine.tokenizer.decode(ids) for ids in request.sources)
    assert Session(engine, Options(max_tokens=8)).request(prefix, "\n").sources == ()


def test_what_runs_ahead_accepts_nothing(session: Session, engine: Engine) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    assert session.suggest(prefix, suffix).text
    ahead = [engine.wait(handle) for handle in session.idle(prefix, suffix)]
    assert ahead and session.request(prefix, suffix).sources == ()


def ended(text: str, reason: str = "end", tokens: int = 3) -> Completion:
    return Completion(text, reason, tokens, 10, 5.0, 5.0)


TEXTS = st.text("ab\n", max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6), TEXTS, TEXTS)
def test_what_is_recalled_is_the_rest_of_the_last_answer_that_agrees(
    engine: Engine, past: list[tuple[str, str, str]], prefix: str, suffix: str
) -> None:
    session = Session(engine)
    rests = []
    for before, text, after in past:
        session.remember(before, after, ended(text))
        whole = before + text
        agrees = prefix.startswith(before) and whole.startswith(prefix)
        if after == suffix and agrees and prefix != whole:
            rests.append(whole[len(prefix) :])
    found = session.recall(prefix, suffix)
    assert (found.text if found else None) == (rests[-1] if rests else None)


def test_what_is_remembered_holds_no_file(engine: Engine) -> None:
    session, file = Session(engine), "x = 1\n" * 50_000
    session.request(file, file)
    tracemalloc.start()
    try:
        for i in range(20):
            session.remember(f"{file}{i}", f"{file}{i}", ended("abc"))
        session.request(f"{file}y", f"{file}y")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < len(file)
    recalled = session.recall(f"{file}7a", f"{file}7")
    assert recalled is not None and recalled.text == "bc"
    assert session.recall(f"{file}7a", f"{file}8") is None
    assert session.recall(f"y{file[1:]}7a", f"{file}7") is None


def test_of_an_endless_line_the_end_is_encoded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, lengths = engine.tokenizer.encode, []
    line = "".join(f"var a{i} = f(b, 'c{i}');" for i in range(5000))

    def spy(text: str) -> list[int]:
        lengths.append(len(text))
        return encode(text)

    monkeypatch.setattr(engine.tokenizer, "encode", spy)
    session = Session(engine, Options(heal=False))
    for more in ("", "v", "va", "var", "x" * 1600):
        found = session.request(line + more, "\n").prompt.ids
        assert found[-ROOM:] == encode(line + more)[-ROOM:]
    assert max(lengths) <= 32 * ROOM


def test_what_ran_out_of_time_is_not_the_next_answer(session: Session) -> None:
    session.remember("a", "", ended("bcd", "time"))
    session.remember("a", "", ended("bcd", "cancelled"))
    assert session.recall("a", "") is None and session.recall("ab", "") is None


def test_what_would_be_refused_is_not_recalled(session: Session, engine: Engine) -> None:
    known = session.suggest(TEXT[:400], TEXT[400:600])
    session.remember(TEXT[:400], TEXT[400:600], replace(known, stop_reason="end"))
    assert session.recall(TEXT[:400], TEXT[400:600], engine.context - 2 * ROOM) is not None
    for most in (engine.context - 2 * ROOM + 1, 10**6):
        assert session.recall(TEXT[:400], TEXT[400:600], most) is None
        with pytest.raises(UserError, match="has no room"):
            session.request(TEXT[:400], TEXT[400:600], max_tokens=most)


def test_an_answer_is_recalled_by_whoever_would_have_got_it(session: Session) -> None:
    session.remember("a", "", ended("bcd", tokens=3))
    lengths = (0, 2, 3, 12, 50)
    found = [session.recall("ab", "", max_tokens=each) is not None for each in lengths]
    assert found == [False, False, True, True, True]
    session.remember("x", "", ended("bcd", "length", tokens=12))
    found = [session.recall("xb", "", max_tokens=each) is not None for each in lengths]
    assert found == [False, False, False, True, False]


def test_logprobs_are_those_of_the_text(engine: Engine) -> None:
    at = TEXT.index("        self.capacity, self.held")
    prefix, suffix = TEXT[:at], TEXT[TEXT.index("    @property") :]
    session = Session(engine, Options(max_tokens=12, sampling=Sampling(logprobs=2)))
    first = session.suggest(prefix, suffix)
    assert len(first.text) > 3 and len(first.logprobs) == first.tokens
    again = session.suggest(prefix + first.text[:2], suffix)
    assert len(again.logprobs) == again.tokens > 0
    same = session.suggest(prefix, suffix)
    assert (same.text, same.logprobs) == (first.text, first.logprobs)
    session = Session(engine, session.options)
    engine.wait(session.begin(prefix, suffix))
    attached = session.suggest(prefix + first.text[:2], suffix)
    assert len(attached.logprobs) == attached.tokens and attached.text != first.text


def test_the_anchor_leaves_room_for_the_longest_answer(engine: Engine) -> None:
    session, file = Session(engine), "value = compute(1, 2)\n" * 400
    short = session.request(file, file, max_tokens=8)
    long = session.request(file, file, max_tokens=200)
    again = session.request(file + "v", file, max_tokens=8)
    assert len(short.prompt.ids) + 8 + 2 * ROOM > engine.context - 32
    assert len(long.prompt.ids) + 200 <= engine.context < len(short.prompt.ids) + 200 + ROOM
    assert (
        again.max_tokens == 8
        and again.prompt.ids[:-4] == long.prompt.ids[: len(again.prompt.ids) - 4]
    )
