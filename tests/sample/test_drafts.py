"""Drafts are verified: the scheduler's half of what `test_drafting` shows of the look-up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen25.models import DEFAULT, resolve
from codegen25.sample.drafting import Gate
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Request
from codegen25.sample.runner import Run
from codegen25.sample.stopping import Stops

TEXT = "\n\n".join(
    f"def area_{i}(width, height):\n    return width * height + {i}\n" for i in range(40)
)
"""What repeats itself, and not quite."""


class Open(Gate):
    """Always asks for a draft."""

    def width(self) -> int:
        return 4

    def affords(self, tokens: int, ms: float) -> bool:
        return True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine.load(resolve(DEFAULT), Settings(threads=2))
    monkeypatch.setattr(engine.scheduler, "gate", Open())
    monkeypatch.setattr(engine.scheduler, "_striding", None)
    return engine


def request(engine: Engine, temperature: float) -> Request:
    prompt = engine.prompt(TEXT[:1500], "", max_tokens=60, layout="causal")
    return Request(prompt, 60, Sampling(temperature, seed=1))


def ask(engine: Engine, asked: Request) -> tuple[Completion, list[int]]:
    """The answer, and the tokens whose keys and values it leaves."""
    engine.cache.clear()
    answer = engine.wait(engine.submit(asked))
    [slot] = engine.cache.slots
    return answer, slot.tokens[: slot.length].tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_what_is_drafted_changes_nothing_but_the_passes(engine: Engine, temperature: float) -> None:
    asked = request(engine, temperature)
    plain, tokens = ask(engine, replace(asked, draft=False))
    drafted, same = ask(engine, asked)
    assert drafted.drafted > drafted.accepted > 0 == plain.drafted
    assert (drafted.text, drafted.tokens) == (plain.text, plain.tokens) and same == tokens
    assert len(tokens) == len(asked.prompt.ids) + plain.tokens - 1


def test_a_stop_string_within_a_draft_ends_the_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, last, within = request(engine, 0.0), [0], 0
    forward = engine.runner.forward

    def noted(runs: list[Run]) -> object:
        last[0] = runs[0].wanted
        return forward(runs)

    monkeypatch.setattr(engine.runner, "forward", noted)
    free, _ = ask(engine, asked)
    for k in range(0, len(free.text) - 3, 4):
        stopped = replace(asked, stops=Stops(strings=(free.text[k : k + 3],)))
        drafted, tokens = ask(engine, stopped)
        within += last[0] > 1 and drafted.accepted > 0
        plain, same = ask(engine, replace(stopped, draft=False))
        assert (drafted.text, drafted.rule, drafted.tokens) == (
            plain.text,
            plain.rule,
            plain.tokens,
        )
        assert tokens == same
    assert within


def test_a_gate_that_shut_is_tried_again_by_later_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(8)
    monkeypatch.setattr(engine.scheduler, "gate", gate)
    for width in range(9):
        gate.timed(width, 10.0)
    for _ in range(60):
        gate.learn(8, 0)
    assert not gate.pays
    gate._times[0] = 0.5
    monkeypatch.setattr(gate, "timed", lambda *_: None)  # whatever else this machine does
    drafted = [engine.wait(engine.submit(request(engine, 0.0))).drafted for _ in range(20)]
    assert drafted[0] == 0 < max(drafted)
