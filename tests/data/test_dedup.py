from __future__ import annotations

import random
import re
from itertools import combinations
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_minhash import jaccard

from codegen25.data import dedup
from codegen25.data.dedup import REACH
from codegen25.data.minhash import BANDS, NO_KEY, signatures

KEYS = st.lists(st.integers(0, 4), max_size=40)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Pairs of up to 20 rows, and a rank in which some may tie."""
    count = draw(st.integers(1, 20))
    row = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(row, row).filter(lambda pair: pair[0] != pair[1])))
    rank = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2), np.array(rank)


def as_set(pairs: NDArray[np.intp]) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in pairs.tolist()}


def find(parents: list[int], row: int) -> int:
    while parents[row] != row:
        row = parents[row]
    return row


def test_what_makes_a_text_new() -> None:
    text = "def f(x):\n    return x\n"
    same = ["\n\n" + text, text + "  \n\n", text.replace("\n", " \t\r\n"), text.rstrip()]
    assert {dedup.exact_key(each) for each in same} == {dedup.exact_key(text)}
    new = [text.replace("    ", "  "), text.replace("\n", "\n\n"), text.upper(), "", "\ud800"]
    assert len({dedup.exact_key(each) for each in [text, *new]}) == 6
    assert len(dedup.exact_key("")) == 16


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), max_size=20))
def test_the_best_ranked_of_exact_copies_stays(rows: list[tuple[str, int]]) -> None:
    keys = [np.frombuffer(dedup.exact_key(text), dtype=np.uint8) for text, _ in rows]
    rank = np.array([place for _, place in rows], dtype=np.int64)
    kept = dedup.exact_duplicates(np.array(keys, dtype=np.uint8).reshape(-1, 16), rank)
    for row, (text, _) in enumerate(rows):
        copies = [i for i, (other, _) in enumerate(rows) if other == text]
        assert kept.twin[row] == min(copies, key=lambda i: (rank[i], i))
        assert kept.mask[row] == (kept.twin[row] == row)


def test_all_bytes_of_an_exact_key_count() -> None:
    keys = np.eye(17, 16, dtype=np.uint8)
    assert dedup.exact_duplicates(keys, np.zeros(17, dtype=np.int64)).mask.all()
    for first, second in combinations(range(17), 2):
        twice = dedup.exact_duplicates(keys[[first, second, first]], np.arange(3))
        assert twice.twin.tolist() == [0, 1, 0]


@given(KEYS, st.randoms(use_true_random=False))
def test_few_rows_with_a_key_are_all_pairs(values: list[int], rng: random.Random) -> None:
    values = [value for i, value in enumerate(values) if values[:i].count(value) < REACH]
    keys = np.array(values, dtype=np.uint64)
    rank = np.array(rng.sample(range(len(keys)), len(keys)), dtype=np.int64)
    expected = {(a, b) for a, b in combinations(range(len(keys)), 2) if values[a] == values[b]}
    for pairs in (dedup.pairs_of_band(keys), dedup.pairs_of_band(keys, rank)):
        assert as_set(pairs) == expected
        assert len(pairs) == len(expected)


def test_many_rows_with_a_key_are_a_star_and_a_chain() -> None:
    count = 500
    rank = np.random.default_rng(0).permutation(count)
    pairs = dedup.pairs_of_band(np.full(count, 7, dtype=np.uint64), rank)
    assert len(pairs) == len(as_set(pairs)) <= REACH * count
    order = np.argsort(rank)
    assert {(order[0], other) for other in order[1:]} <= {tuple(pair) for pair in pairs.tolist()}
    near = {tuple(sorted((order[i], order[i + REACH - 1]))) for i in range(count - REACH + 1)}
    assert near <= as_set(pairs)


@given(st.integers(0, 3), KEYS)
def test_rows_without_a_key_have_no_pair(without: int, values: list[int]) -> None:
    keys = np.array([NO_KEY] * without + values + [NO_KEY] * without, dtype=np.uint64)
    expected = as_set(dedup.pairs_of_band(np.array(values, dtype=np.uint64)) + without)
    assert as_set(dedup.pairs_of_band(keys)) == expected


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=REACH))
def test_candidates_are_the_pairs_of_any_band_once(rows: list[tuple[int, ...]]) -> None:
    keys = np.array(rows, dtype=np.uint64).reshape(-1, 3)
    pairs = dedup.candidate_pairs(keys)
    expected = [
        (a, b)
        for a, b in combinations(range(len(rows)), 2)
        if any(x == y for x, y in zip(rows[a], rows[b], strict=True))
    ]
    assert [tuple(pair) for pair in pairs.tolist()] == expected


@given(graphs())
def test_every_dropped_row_has_a_kept_twin_that_ranks_before_it(
    graph: tuple[NDArray[np.intp], NDArray[np.int64]],
) -> None:
    pairs, rank = graph
    kept = dedup.keep(pairs, rank)
    twins = as_set(pairs)
    for row, twin in enumerate(kept.twin.tolist()):
        assert kept.mask[twin]
        if kept.mask[row]:
            assert twin == row
        else:
            near = [b if a == row else a for a, b in twins if row in (a, b)]
            assert twin == min((i for i in near if kept.mask[i]), key=lambda i: (rank[i], i))
            assert (rank[twin], twin) < (rank[row], row)


@given(graphs())
def test_no_two_kept_rows_are_a_pair_and_no_family_is_lost(
    graph: tuple[NDArray[np.intp], NDArray[np.int64]],
) -> None:
    pairs, rank = graph
    mask = dedup.keep(pairs, rank).mask
    assert not mask[pairs].all(axis=1).any()
    parents = list(range(len(rank)))
    for a, b in pairs.tolist():
        parents[find(parents, a)] = find(parents, b)
    families = {find(parents, row) for row in range(len(rank))}
    assert families == {find(parents, row) for row in np.flatnonzero(mask).tolist()}


@given(graphs())
def test_keep_is_the_greedy_rule(graph: tuple[NDArray[np.intp], NDArray[np.int64]]) -> None:
    pairs, rank = graph
    twins = as_set(pairs)
    chosen: list[int] = []
    for row in sorted(range(len(rank)), key=lambda row: (rank[row], row)):
        if not any((min(row, other), max(row, other)) in twins for other in chosen):
            chosen.append(row)
    assert np.flatnonzero(dedup.keep(pairs, rank).mask).tolist() == sorted(chosen)


def test_nothing_and_almost_nothing() -> None:
    for texts in ([], [""], ["", "", "a b", "a b"], ["a b c d e"]):
        rank = np.arange(len(texts))
        kept = dedup.near_duplicates(signatures(texts), rank)
        assert kept.mask.all() and np.array_equal(kept.twin, rank)
    assert dedup.candidate_pairs(np.full((3, BANDS), NO_KEY)).shape == (0, 2)
    assert dedup.pairs_of_band(np.full(3, NO_KEY)).shape == (0, 2)
    empty = dedup.exact_duplicates(np.zeros((0, 16), dtype=np.uint8), np.zeros(0, dtype=np.int64))
    assert empty.mask.shape == empty.twin.shape == (0,)


class Corpus:
    """Synthetic modules and edited copies of some, with the family of each."""

    def __init__(self, seed: int, families: int) -> None:
        self.rng = random.Random(seed)
        self.texts: list[str] = []
        self.family: list[int] = []
        for family in range(families):
            lines = self.module()
            copies = [lines, *(self.copy(lines) for _ in range(self.rng.choice([0, 1, 2, 5])))]
            self.texts += ["\n".join(copy) for copy in copies]
            self.family += [family] * len(copies)

    def line(self) -> str:
        name, other, call = (
            f"{self.rng.choice('abcdefgh')}{self.rng.randrange(60)}" for _ in "123"
        )
        return f"    {name} = {call}({other}, {self.rng.randrange(30)})"

    def module(self) -> list[str]:
        head = f"# Licensed by group {self.rng.randrange(9)} under terms you may know by heart"
        return [head, *(self.line() for _ in range(self.rng.randrange(15, 150)))]

    def copy(self, lines: list[str]) -> list[str]:
        copy = list(lines)
        for _ in range(1 + int(len(lines) * 0.15 * self.rng.random())):
            edit, place = self.rng.randrange(4), self.rng.randrange(1, len(copy))
            if edit == 0:
                copy.insert(place, self.line())
            elif edit == 1:
                del copy[place]
            elif edit == 2:
                copy[0] = f"# (c) {self.rng.randrange(3000)} somebody else, all rights kept"
            else:
                name = re.findall(r"[a-h]\d+", "\n".join(copy))[place]
                copy = [re.sub(rf"\b{name}\b", f"renamed{place}", each) for each in copy]
        return copy

    def pairs(self) -> list[tuple[int, int, float]]:
        """The pairs within families and their exact similarity."""
        rows = combinations(range(len(self.texts)), 2)
        same = ((a, b) for a, b in rows if self.family[a] == self.family[b])
        return [(a, b, jaccard(self.texts[a], self.texts[b])) for a, b in same]


def test_planted_families_are_found() -> None:
    corpus = Corpus(seed=0, families=150)
    table = signatures(corpus.texts)
    found = as_set(dedup.verified(dedup.candidate_pairs(dedup.band_keys(table)), table))
    assert all(corpus.family[a] == corpus.family[b] for a, b in found)
    planted = corpus.pairs()
    assert {similarity > 0.5 for *_, similarity in planted} == {True, False}
    assert all(similarity > 0.6 for a, b, similarity in planted if (a, b) in found)
    for least, most, recall in ((0.7, 0.8, 0.5), (0.8, 0.9, 0.93), (0.9, 1.01, 1.0)):
        rows = [(a, b) in found for a, b, similarity in planted if least <= similarity < most]
        assert len(rows) > 40
        assert np.mean(rows) >= recall


def test_the_order_of_the_rows_does_not_matter() -> None:
    corpus = Corpus(seed=1, families=60)
    table = signatures(corpus.texts + corpus.texts[:1] * 3 * REACH)
    rng = np.random.default_rng(0)
    rank, shuffled = rng.permutation(len(table)), rng.permutation(len(table))
    kept = dedup.near_duplicates(table, rank)
    again = dedup.near_duplicates(table[shuffled], rank[shuffled])
    assert np.array_equal(again.mask, kept.mask[shuffled])
    assert np.array_equal(shuffled[again.twin], kept.twin[shuffled])


def test_of_a_family_of_thousands_the_best_ranked_stays(tmp_path: Path) -> None:
    lines = Corpus(seed=2, families=1).module()
    texts = ["\n".join([*lines, f"last = {number}"]) for number in range(3000)]
    rank = np.random.default_rng(3).permutation(len(texts))
    np.save(tmp_path / "signatures.npy", signatures(texts))
    kept = dedup.near_duplicates(np.load(tmp_path / "signatures.npy", mmap_mode="r"), rank)
    assert np.flatnonzero(kept.mask).tolist() == [rank.argmin()]
    assert (kept.twin == rank.argmin()).all()
