from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.sample.drafting import Gate, Lookup, SuffixAutomaton
from codegen25.sample.options import Sampling
from codegen25.sample.sampling import draw, draw_rows, uniforms

sequences = st.lists(st.integers(0, 3), max_size=60)


def longest_match(tokens: Sequence[int]) -> int:
    """Length of the longest suffix that also ends earlier, by trying all."""
    count = len(tokens)
    for length in range(count - 1, 0, -1):
        suffix = tokens[count - length :]
        if any(tokens[end - length : end] == suffix for end in range(length, count)):
            return length
    return 0


@settings(max_examples=100, deadline=None)
@given(sequences)
def test_the_longest_match_is_found(tokens: list[int]) -> None:
    automaton = SuffixAutomaton()
    for count, token in enumerate(tokens, 1):
        automaton.extend(token)
        found = list(automaton.matches())
        assert max((length for length, _ in found), default=0) == longest_match(tokens[:count])
        for length, end in found:
            assert end < count
            assert tokens[end - length : end] == tokens[count - length : count]
        assert found == sorted(found, key=lambda match: -match[0])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=50, max_size=150))
def test_states_stay_few(tokens: list[int]) -> None:
    automaton = SuffixAutomaton()
    for token in tokens:
        automaton.extend(token)
    assert len(automaton._link) <= 2 * len(tokens)
    assert sum(map(len, automaton._next)) <= 3 * len(tokens)


def is_within(part: Sequence[int], whole: Sequence[int]) -> bool:
    return any(
        list(whole[i : i + len(part)]) == list(part) for i in range(len(whole) - len(part) + 1)
    )


@settings(max_examples=200, deadline=None)
@given(sequences, st.lists(sequences, max_size=3), sequences, st.integers(1, 4), st.integers(0, 6))
def test_a_draft_followed_the_same_tokens_in_one_source(
    prefix: list[int], others: list[list[int]], answer: list[int], shortest: int, most: int
) -> None:
    lookup = Lookup(prefix, others, shortest=shortest)
    text = list(prefix)
    for token in [None, *answer]:
        if token is not None:
            lookup.extend(token)
            text.append(token)
        draft = lookup.draft(most)
        assert len(draft) <= most
        if draft:
            context = [*text[len(text) - shortest :], *draft]
            assert any(is_within(context, source) for source in (text, *others))


@settings(max_examples=100, deadline=None)
@given(sequences.filter(lambda s: len(s) > 3), st.integers(1, 8))
def test_a_copy_is_drafted(source: list[int], most: int) -> None:
    """Tokens of another source that stand nowhere else go on as they did there."""
    unique = [i * 10 + token for i, token in enumerate(source)]
    begun, rest = unique[:3], unique[3:]
    for lookup, expected in (
        (Lookup([], [unique]), rest),
        (Lookup([*unique, 10**6]), [*rest, 10**6, *begun]),  # the answer itself is the prefix's end
    ):
        for token in begun:
            lookup.extend(token)
        assert lookup.draft(most) == expected[:most]


def test_the_nearer_source_is_preferred_and_none_is_left() -> None:
    lookup = Lookup([1, 2, 3], [[1, 2, 3, 7], [1, 2, 3, 9, 9]])
    assert lookup.draft(4) == [7]
    assert Lookup([1, 2, 3], [[0, 1, 2, 3]]).draft(4) == []  # nothing follows there
    # A match at a source's end gives way to a shorter one that goes on.
    assert Lookup([5, 1, 2, 3], [[5, 1, 2, 3], [4, 1, 2, 3, 8]]).draft(4) == [8]
    assert Lookup([1, 2], [[1, 2, 3, 4]]).draft(4) == []
    assert Lookup([1, 2], [[1, 2, 3, 4]], shortest=2).draft(4) == [3, 4]
    assert Lookup([]).draft(4) == Lookup([1, 2, 3, 1, 2, 3]).draft(0) == []


def test_a_lookup_stays_small() -> None:
    lookup = Lookup(list(range(500)), [list(range(500, 1000))], room=100)
    assert len(lookup._automaton.tokens) == 101  # the prefix's end alone
    lookup = Lookup([1, 2], [[3] * 50, [4] * 100], room=100)
    assert lookup._automaton.tokens.count(4) == 48
    borders = set()
    for token in range(1000):
        lookup.extend(token % 37)
        assert len(lookup._automaton.tokens) <= 200
        borders.add(sum(token < 0 for token in lookup._automaton.tokens))
    assert borders == {3, 1}  # the others went as a whole
    assert lookup.draft(5) == [(999 + i) % 37 for i in range(1, 6)]


def model(tokens: Sequence[int]) -> np.ndarray:
    """Logits that depend on the last two tokens and repeat a lot."""
    logits = np.random.default_rng([*tokens[-2:], len(tokens) % 2]).standard_normal(20) * 3
    return logits.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 19), min_size=2, max_size=8), st.integers(0, 99), st.booleans())
def test_drafting_changes_no_answer(prompt: list[int], seed: int, greedy: bool) -> None:
    sampling = Sampling(0.0 if greedy else 0.7, 0.95, seed)
    numbers, count = uniforms(seed, "", 60), 30
    plain = list(prompt)
    for i in range(count):
        plain.append(draw(model(plain), sampling, numbers[i]))
    text, lookup, gate = list(prompt), Lookup(prompt, shortest=2), Gate(4, probe=3)
    passes = 0
    while (done := len(text) - len(prompt)) < count:
        draft = lookup.draft(gate.width())
        rows = np.stack([model([*text, *draft[:i]]) for i in range(len(draft) + 1)])
        drawn = draw_rows(rows, [sampling] * len(rows), numbers[done : done + len(rows)])
        accepted = next((i for i, d in enumerate(draft) if d != drawn[i]), len(draft))
        for token in drawn[: accepted + 1]:
            lookup.extend(token)
            text.append(token)
        gate.timed(len(draft), 1 + 0.1 * len(draft))
        if draft:
            gate.learn(len(draft), accepted)
        passes += 1
    assert text[: len(plain)] == plain
    assert passes <= count


def told(gate: Gate, slope: float) -> Gate:
    """A gate that knows that each drafted token costs `slope` of a step."""
    for drafted in range(9):
        gate.timed(drafted, 10 + 10 * slope * drafted)
    return gate


def test_the_gate_opens_when_drafts_pay() -> None:
    gate = Gate()
    assert gate.width() == 0  # nothing is known
    gate = told(Gate(), 0.05)
    for _ in range(30):
        gate.learn(8, 8)
    assert gate.width() == 8
    for _ in range(10):
        gate.learn(4, 0)
        gate.learn(4, 1)
    assert 1 <= gate.width() < 8


def test_the_gate_shuts_and_probes() -> None:
    gate = told(Gate(probe=10), 0.5)
    for _ in range(30):
        gate.learn(2, 0)
    assert [gate.width() for _ in range(12)] == [0] * 9 + [2] * 3  # until one is learned from
    gate.learn(2, 0)
    assert [gate.width() for _ in range(10)] == [0] * 9 + [2]
    widths = []
    for _ in range(30):  # the text changed
        gate.learn(2, 2)
        widths.append(gate.width())
    assert widths[0] == 2 and widths[-1] > 2 and 0 not in widths


def test_dear_passes_shut_the_gate_whatever_is_accepted() -> None:
    gate = told(Gate(), 1.0)
    widths = []
    for _ in range(100):
        widths.append(gate.width())
        if widths[-1]:
            gate.learn(widths[-1], widths[-1])
    assert 0 < sum(map(bool, widths)) <= 4
    assert gate.acceptance > 0.8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8), st.floats(0.1, 100))))
def test_a_gate_is_a_function_of_its_calls(calls: list[tuple[int, int, float]]) -> None:
    first, second = Gate(), Gate()
    for gate in (first, second):
        gate.timed(0, 5.0)
    for drafted, accepted, ms in calls:
        widths = []
        for gate in (first, second):
            gate.timed(drafted, ms)
            gate.learn(drafted, min(accepted, drafted))
            widths.append(gate.width())
        assert widths[0] == widths[1] and 0 <= widths[0] <= 8
        assert 0 <= first.acceptance <= 1


def test_wrong_numbers() -> None:
    for wrong in ({"shortest": 0}, {"room": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Lookup([], **wrong)
    for call in (
        lambda: Gate(0), lambda: Gate().learn(2, 3), lambda: Gate().learn(0, 0),
        lambda: Gate().timed(9, 1.0), lambda: Gate().timed(1, 0.0),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            call()
