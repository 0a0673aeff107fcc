from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.models import DEFAULT, resolve
from codegen25.sample.batch import ROWS, Request, draw_rows, rows_of, uniforms
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.sampling import probabilities


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir)


def requests(engine: Engine, samples: int, temperature: float = 1.0) -> list[Request]:
    """Requests of two capacities, several samples each."""
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


def test_an_answer_does_not_depend_on_its_company(engine: Engine) -> None:
    asked = requests(engine, 40)
    whole = texts(engine, asked)
    assert len(whole) == 120 and len({text for text, _, _ in whole.values()}) > 60
    shuffled = list(asked)
    Random(1).shuffle(shuffled)
    assert texts(engine, shuffled) == whole
    one_each = [request for request in asked if request.key.endswith("/0")]
    assert texts(engine, one_each) == {request.key: whole[request.key] for request in one_each}
    rest = shuffled[77:]  # as when a run goes on
    assert texts(engine, rest) == {request.key: whole[request.key] for request in rest}
    assert texts(engine, rest[-1:]) == {rest[-1].key: whole[rest[-1].key]}


def test_the_shipped_model_too() -> None:
    """In bfloat16, where a sum in another order is soon another token."""
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
        assert texts(engine, [request]) == {request.key: whole[request.key]}


def test_greedy_answers_are_those_of_one_after_another(engine: Engine) -> None:
    asked = requests(engine, 1, temperature=0.0)
    alone = {
        request.key: engine.answer(request.prompt, request.max_tokens, request.sampling)
        for request in asked
    }
    for key, (text, reason, tokens) in texts(engine, asked).items():
        assert (text, reason, tokens) == (
            alone[key].text,
            alone[key].stop_reason,
            alone[key].tokens,
        )


def test_enough_is_enough(engine: Engine) -> None:
    prompt = engine.prompt("x = ", "", max_tokens=50, layout="causal")
    asked = Request(prompt, 50, Sampling(1.0), "", enough=_three)
    [(_, answer)] = engine.answer_all([asked])
    assert answer.stop_reason == "stop" and len(answer.text) >= 3 and answer.tokens < 50


def _three(text: str) -> bool:
    return len(text) >= 3


def test_draws_follow_the_distribution() -> None:
    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(3)) * 2
    for sampling in (Sampling(0.7, 0.9), Sampling(2.0, 1.0), Sampling(5.0, 0.99)):
        expected = probabilities(logits[0], sampling).numpy()
        count = 4000
        drawn = Counter(draw_rows(logits, [sampling], [(i + 0.5) / count])[0] for i in range(count))
        found = np.array([drawn[i] / count for i in range(300)])
        assert np.abs(found - expected).max() <= 1.01 / count


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 3), st.floats(0.05, 1), st.floats(0, 0.9999))
def test_a_draw_does_not_depend_on_the_rows_beside(
    seed: int, temperature: float, top_p: float, uniform: float
) -> None:
    logits = torch.randn(5, 200, generator=torch.Generator().manual_seed(seed))
    own = [Sampling(temperature, top_p), Sampling(0), Sampling(1.0), Sampling(0.2), Sampling(2)]
    alone = draw_rows(logits[:1], own[:1], [uniform])
    assert draw_rows(logits, own, [uniform, 0.1, 0.2, 0.3, 0.4])[0] == alone[0]


def test_uniforms_are_named_by_seed_and_key() -> None:
    assert uniforms(0, "a", 9)[:3] == uniforms(0, "a", 3)
    assert len({tuple(uniforms(s, k, 2)) for s in (0, 1) for k in ("a", "b", "\ud800")}) == 6


def test_a_large_model_decodes_fewer_rows(engine: Engine) -> None:
    weight = engine.model.lm_head.weight
    assert rows_of(engine.model.config, 256, weight) == ROWS
    assert rows_of(engine.model.config, 1 << 24, weight) == 1
