from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from codegen25.errors import UserError
from codegen25.sample.options import Sampling
from codegen25.sample.sampling import (
    COLD,
    NUCLEUS,
    adjust,
    draw,
    draw_rows,
    logprobs,
    probabilities,
    uniforms,
)

Logits = NDArray[np.float32]


def random_logits(seed: int, size: int = 300, spread: float = 2.0) -> Logits:
    return (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)


samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0.0), st.floats(0.01, 10)),
    top_p=st.one_of(st.just(1.0), st.floats(0.01, 1)),
    top_k=st.one_of(st.just(0), st.integers(1, 400)),
    min_p=st.one_of(st.just(0.0), st.floats(0, 1)),
)
numbers = st.floats(0, 1, exclude_max=True)


def warped(logits: Logits, sampling: Sampling) -> NDArray[np.float64]:
    """The same distribution by transformers."""
    steps: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        steps.append(MinPLogitsWarper(sampling.min_p))
    scores = LogitsProcessorList(steps)(None, torch.from_numpy(logits).double()[None])
    return torch.softmax(scores[0], -1).numpy()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), samplings, st.sampled_from([0.3, 2.0, 8.0]))
def test_probabilities_are_those_of_transformers(
    seed: int, sampling: Sampling, spread: float
) -> None:
    logits = random_logits(seed, spread=spread)
    sampling = replace(sampling, temperature=max(sampling.temperature, 0.01))
    found = probabilities(logits, sampling)
    assert found.dtype == np.float64 and abs(found.sum() - 1) < 1e-12
    np.testing.assert_allclose(found, warped(logits, sampling), atol=1e-9)


def test_repetition_penalty_is_that_of_transformers() -> None:
    for seed, penalty in ((1, 1.3), (2, 0.7), (3, 5.0)):
        logits, prompt, answer = random_logits(seed), [3, 9, 3, 250], [7, 9]
        scores = torch.from_numpy(logits.copy())[None]
        expected = RepetitionPenaltyLogitsProcessor(penalty)(
            torch.tensor([[*prompt, *answer]]), scores
        )
        found = adjust(logits, Sampling(repetition_penalty=penalty), prompt, answer)
        np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-6)
        assert (found != logits).sum() == 4


def test_presence_and_frequency_count_the_answer_alone() -> None:
    logits = np.zeros(6, dtype=np.float32)
    asked = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    assert adjust(logits, asked, [0, 0, 1], [4, 4, 4, 2]).tolist() == [0, 0, -0.75, 0, -1.25, 0]
    assert adjust(logits, Sampling(presence_penalty=-1), [], [3]).tolist() == [0, 0, 0, 1, 0, 0]


def test_bias_comes_before_the_penalties_and_leaves_what_cannot_be_drawn() -> None:
    logits = np.array([1, -1, -np.inf, 2], dtype=np.float32)
    asked = Sampling(logit_bias=((1, 3.0), (2, 100.0)), repetition_penalty=2.0)
    assert adjust(logits, asked, [1, 2], []).tolist() == [1, 1, -np.inf, 2]
    assert logits[1] == -1  # the row that was given is not written to
    with pytest.raises(UserError, match="token 4; this model's ids end at 3"):
        adjust(logits, Sampling(logit_bias=((4, 1.0),)), [], [])


def test_nothing_asked_changes_nothing() -> None:
    logits = random_logits(0)
    assert adjust(logits, Sampling(1.0, top_k=3, min_p=0.1, logprobs=5), [1], [2]) is logits
    assert adjust(logits, Sampling(frequency_penalty=1), [1], []).tolist() == logits.tolist()


@pytest.mark.parametrize("size", [300, NUCLEUS, 5])
def test_draws_follow_the_distribution(size: int) -> None:
    count = 500
    for index, sampling in enumerate((
        Sampling(0.7, 0.9), Sampling(2.0, 1.0), Sampling(5.0, 0.99), Sampling(3.0, 0.8, top_k=200),
        Sampling(1.0, 1.0, min_p=0.05), Sampling(9.0, 1.0, top_k=150, min_p=0.3), Sampling(0.0),
        Sampling(9.0, 1.0, min_p=0.45),
    )):  # fmt: skip
        logits = random_logits(index, size)
        expected = probabilities(logits, sampling)
        drawn = Counter(draw(logits, sampling, (i + 0.5) / count) for i in range(count))
        found = np.array([drawn[i] / count for i in range(size)])
        assert np.abs(found - expected).max() <= 1.01 / count


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from([60, 300, 2500]))
def test_a_row_does_not_depend_on_its_mates(data: st.DataObject, seed: int, size: int) -> None:
    rows = data.draw(st.integers(1, 6))
    spread = data.draw(st.sampled_from([0.0, 0.1, 2.0, 9.0]))
    logits = (
        random_logits(seed, rows * size, spread)
        .reshape(rows, size)
        .round(data.draw(st.integers(0, 3)))
    )
    asked = data.draw(st.lists(samplings, min_size=rows, max_size=rows))
    places = data.draw(st.lists(numbers, min_size=rows, max_size=rows))
    alone = [draw(row, *each) for row, *each in zip(logits, asked, places, strict=True)]
    assert draw_rows(logits, asked, places) == alone
    order = data.draw(st.permutations(range(rows)))
    shuffled = draw_rows(logits[order], [asked[i] for i in order], [places[i] for i in order])
    assert shuffled == [alone[i] for i in order]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), samplings, numbers, st.sampled_from([0, 1, 6]), st.booleans())
def test_a_draw_is_the_inverse_of_the_distribution(
    seed: int, sampling: Sampling, uniform: float, decimals: int, masked: bool
) -> None:
    """Over ids sorted by falling logit, ties by id, whatever of them was looked at."""
    logits = random_logits(seed, 1000).round(decimals)
    if masked:
        logits[np.random.default_rng(seed).random(1000) < 0.95] = -np.inf
        logits[seed % 1000] = 1
    chances = probabilities(logits, sampling)
    order = sorted(range(1000), key=lambda i: (-logits[i], i))
    sums = np.cumsum(chances[order])
    token = draw(logits, sampling, uniform)
    place = order.index(token)
    assert chances[token] > 0
    assert sums[place] - chances[token] - 1e-5 <= uniform <= sums[place] + 1e-5


def test_ties_go_by_id() -> None:
    flat = np.zeros(1000, dtype=np.float32)
    assert [draw(flat, Sampling(1.0, 1.0), (i + 0.5) / 1000) for i in range(1000)] == [*range(1000)]
    assert draw(flat, Sampling(0), 0.9) == 0
    kept = np.flatnonzero(probabilities(flat, Sampling(1.0, 1.0, top_k=3)))
    assert kept.tolist() == [0, 1, 2]
    assert draw(flat, Sampling(1.0, 1.0, top_k=3), 0.999) == 2


@pytest.mark.parametrize("temperature", [0.0, COLD, 1.0, 10.0])
@pytest.mark.parametrize("size", [5, 1000])
def test_one_that_is_left_is_drawn(temperature: float, size: int) -> None:
    logits = np.full(size, -np.inf, dtype=np.float32)
    logits[4] = -7
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert draw(logits, Sampling(temperature, 1.0), uniform) == 4
        assert draw(logits, Sampling(temperature, 0.3, top_k=2, min_p=0.5), uniform) == 4
    assert probabilities(logits, Sampling(temperature)).tolist() == [0] * 4 + [1] + [0] * (size - 5)
    assert logprobs(logits, 4, 3) == (0.0, [(4, 0.0)])


def test_an_unlikely_id_is_not_drawn_at_the_end_of_the_numbers() -> None:
    logits = np.array([0, -1, -1000], dtype=np.float32)
    assert draw(logits, Sampling(1.0, 1.0), 1 - 2**-53) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_numbers(temperature: float, bad: float) -> None:
    logits = np.stack([random_logits(0), random_logits(1)])
    logits[1, 7] = bad
    with pytest.raises(UserError, match="NaN"):
        draw_rows(logits, [Sampling(temperature)] * 2, [0.5, 0.5])
    with pytest.raises(UserError, match="NaN"):
        draw(logits[1], Sampling(temperature), 0.5)
    with pytest.raises(UserError, match="excludes every one"):
        draw(np.full(9, -np.inf, dtype=np.float32), Sampling(temperature), 0.5)


def test_logprobs_are_those_of_the_model() -> None:
    logits = random_logits(5)
    expected = torch.log_softmax(torch.from_numpy(logits).double(), -1)
    likeliest = expected.topk(7)
    value, alternatives = logprobs(logits, 11, 7)
    assert math.isclose(value, expected[11], rel_tol=1e-9)
    assert [i for i, _ in alternatives] == likeliest.indices.tolist()
    np.testing.assert_allclose([p for _, p in alternatives], likeliest.values.numpy(), rtol=1e-9)
    assert logprobs(logits, 11, 0) == (value, [])
    assert [i for i, _ in logprobs(np.zeros(4, dtype=np.float32), 0, 2)[1]] == [0, 1]
    assert len(logprobs(np.zeros(4, dtype=np.float32), 0, 20)[1]) == 4


def test_uniforms_are_named_by_seed_and_key() -> None:
    assert uniforms(0, "a", 9)[:3] == uniforms(0, "a", 3)
    assert len({tuple(uniforms(s, k, 2)) for s in (0, 1) for k in ("a", "b", "\ud800")}) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0}, {"top_p": 0.0}, {"seed": -1}, {"top_k": -1}, {"top_k": 2**31},
        {"min_p": -0.1}, {"min_p": 1.1}, {"min_p": math.nan}, {"repetition_penalty": 0.0},
        {"repetition_penalty": math.inf}, {"presence_penalty": 2.1}, {"frequency_penalty": -2.1},
        {"frequency_penalty": math.nan}, {"logit_bias": ((-1, 1.0),)}, {"logprobs": 21},
        {"logit_bias": ((1, 101.0),)}, {"logit_bias": ((1, math.nan),)}, {"logprobs": -1},
        {"logit_bias": ((1, 1.0), (1, 2.0))},
        {"logit_bias": tuple((i, 0.0) for i in range(1025))},
    ],
)  # fmt: skip
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        Sampling(**wrong)
