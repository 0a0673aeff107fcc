from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.documents import Document
from codegen25.data.metadata import with_metadata
from codegen25.data.shards import TextShard
from codegen25.infill import Corruption, decode_corrupted, restore
from codegen25.tokenizer import Tokenizer
from codegen25.train.rows import IGNORE, Rows, sample_at
from codegen25.train.spans import realised
from conftest import split_of

LENGTH = 256


@pytest.fixture(scope="module")
def shard(corpus: Path) -> TextShard:
    return TextShard(corpus)


@pytest.fixture(scope="module")
def rows(shard: TextShard, tokenizer: Tokenizer) -> Rows:
    return Rows(shard, tokenizer, LENGTH, Corruption(rate=0.7), seed=1)


def test_rows_hold_every_byte_once_and_in_order(rows: Rows, shard: TextShard) -> None:
    pieces = [piece for row in rows.rows for piece in row]
    assert pieces[0].start == 0 and pieces[-1].end == shard.total_bytes
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert {p.end for p in pieces if p.final} == set(shard.ends.tolist())
    assert sum(p.final for p in pieces) == len(shard)


def test_windows_bound_the_pieces_and_lose_nothing(shard: TextShard, tokenizer: Tokenizer) -> None:
    rows = Rows(shard, tokenizer, LENGTH, Corruption(rate=0.0), seed=1, window=64)
    pieces = [piece for row in rows.rows for piece in row]
    assert pieces[0].start == 0 and pieces[-1].end == shard.total_bytes
    assert all(a.end == b.start for a, b in pairwise(pieces))
    sizes = [len(tokenizer.encode(shard.slice(p.start, p.end))) for p in pieces]
    assert max(sizes) <= 66 and sum(map(len, rows.rows)) > 2 * len(rows)
    full = [sum(len(rows.ids(i, 0)) for i in range(len(rows)))]
    assert sum(full) > 0.7 * LENGTH * len(rows)


def test_pieces_are_cut_at_line_borders(rows: Rows, shard: TextShard) -> None:
    for row in rows.rows:
        for piece in row:
            text = shard.slice(piece.start, piece.end)
            assert piece.final or text.endswith("\n") or "\n" not in text


def test_rows_are_nearly_full_and_never_too_long(rows: Rows) -> None:
    sizes = [len(rows.ids(i, epoch=0)) for i in range(len(rows))]
    assert max(sizes) <= LENGTH + 1
    assert sum(sizes[:-1]) / len(sizes[:-1]) > 0.85 * LENGTH


def test_a_causal_row_is_the_text_itself(shard: TextShard, tokenizer: Tokenizer) -> None:
    rows = Rows(shard, tokenizer, LENGTH, Corruption(rate=0.0), seed=1)
    ids = [i for row in range(len(rows)) for i in rows.ids(row, 0)]
    assert tokenizer.decode(ids) == "<|endoftext|>".join(shard) + "<|endoftext|>"


def test_a_share_of_the_rows_is_spread_evenly(shard: TextShard, tokenizer: Tokenizer) -> None:
    def read(share: float) -> list[tuple[str, int]]:
        rows = Rows(shard, tokenizer, 64, Corruption(rate=0.0), seed=1, share=share)
        return [(tokenizer.decode(rows.ids(i, 0)), rows.bytes(i)) for i in range(len(rows))]

    whole = read(1.0)
    half, least = read(0.5), read(1e-9)
    assert half == [whole[i * len(whole) // len(half)] for i in range(len(half))]
    assert len(half) == round(len(whole) / 2) and least == whole[:1]


def test_every_corrupted_piece_is_a_piece_of_one_document(rows: Rows, shard: TextShard) -> None:
    corrupted_pieces = 0
    for row in range(len(rows)):
        ids = rows.ids(row, 0)
        for piece, (corrupted, part) in zip(rows.rows[row], rows.corrupted(row, 0), strict=True):
            document = int(np.searchsorted(shard.ends, piece.start, side="right"))
            assert shard.start(document) <= piece.start < piece.end <= shard.ends[document]
            if corrupted is not None:
                corrupted_pieces += 1
                text = shard.slice(piece.start, piece.end)
                assert restore(corrupted) == text
                assert decode_corrupted(part, rows.tokenizer, rows.sentinels) == corrupted
            assert ids[: len(part)] == part
            ids = ids[len(part) :]
    assert corrupted_pieces > len(rows) / 2


def test_a_share_of_the_answers_opens_with_the_alias(
    shard: TextShard, tokenizer: Tokenizer
) -> None:
    alias, separator = tokenizer.special("<fim_middle>"), tokenizer.special("<sep>")
    shares = {}
    for share in (0.0, 0.5, 1.0):
        rows = Rows(shard, tokenizer, LENGTH, Corruption(rate=1.0, alias=share), seed=1)
        ids = [i for row in range(len(rows)) for i in rows.ids(row, 0)]
        shares[share] = ids.count(alias) / (ids.count(alias) + ids.count(separator))
        parts = [part for row in range(len(rows)) for part in rows.corrupted(row, 0)]
        for corrupted, part in parts:
            if corrupted:
                assert decode_corrupted(part, tokenizer, rows.sentinels, alias) == corrupted
    assert shares[0.0] == 0
    assert 0.3 < shares[0.5] < 0.7
    assert shares[1.0] == 1


def test_spans_of_tokens_end_where_tokens_do(shard: TextShard, tokenizer: Tokenizer) -> None:
    rows = Rows(shard, tokenizer, LENGTH, Corruption(rate=1.0, tokens=True), seed=1)
    found = 0
    for row in range(len(rows)):
        for corrupted, _ in rows.corrupted(row, 0):
            if corrupted is None:
                continue
            borders, at = set(tokenizer.borders(restore(corrupted))), 0
            for kept, span in zip(corrupted.kept, corrupted.spans, strict=False):
                assert {at + len(kept), at + len(kept) + len(span)} <= borders
                at += len(kept) + len(span)
                found += 1
    assert found > 20


def test_corruption_is_a_function_of_seed_epoch_and_row(rows: Rows) -> None:
    assert rows.ids(3, epoch=0) == rows.ids(3, epoch=0)
    assert [rows.ids(i, 0) for i in range(9)] != [rows.ids(i, 1) for i in range(9)]


def test_targets_are_the_next_ids_and_padding_carries_no_loss(rows: Rows) -> None:
    ids = rows.ids(0, 0)
    inputs, targets, answers = rows.arrays(0, 0)
    assert inputs[: len(ids) - 1].tolist() == ids[:-1]
    assert targets[: len(ids) - 1].tolist() == ids[1:]
    assert (targets[len(ids) - 1 :] == IGNORE).all()
    assert inputs.shape == targets.shape == answers.shape == (LENGTH,)
    assert inputs.dtype == np.int64


def test_answers_are_marked_from_the_separator_to_the_end_of_the_document(rows: Rows) -> None:
    marked = 0
    for row in range(len(rows)):
        expected: list[bool] = []
        for corrupted, ids in rows.corrupted(row, 0):
            asked = len(ids)
            if corrupted is not None:
                asked = ids.index(rows.sentinels.separator) + 1
            expected += [False] * asked + [True] * (len(ids) - asked)
        expected = expected[1 : LENGTH + 1]
        answers = rows.arrays(row, 0)[2]
        assert answers[: len(expected)].tolist() == expected
        assert not answers[len(expected) :].any()
        marked += int(answers.sum())
    assert marked


def test_of_a_row_without_room_spans_are_put_back(shard: TextShard, tokenizer: Tokenizer) -> None:
    many = Corruption(rate=1.0, mask_ratio=(0.4, 0.5), max_spans=24, whole_lines=0, line_end=0)
    roomy, tight = (Rows(shard, tokenizer, LENGTH, many, 1, window=w) for w in (0, 48))
    room = dict.fromkeys(("all", "some"), 0)
    for rows in (roomy, tight):
        for row in range(len(rows)):
            drawn = [
                rows._draft(piece, Random(f"1/0/{row}/{k}"))
                for k, piece in enumerate(rows._pieces(row))
            ]
            wanted = [draft and draft.corrupted for draft in drawn]
            length = sum(
                len(rows._ids(*each)) for each in zip(drawn, rows._pieces(row), strict=True)
            )
            made = [corrupted for corrupted, _ in rows.corrupted(row, 0)]
            fits = length <= LENGTH + 1
            assert (made == wanted) == fits
            if not fits:  # nothing but spans gave way
                texts = [shard.slice(p.start, p.end) for p in rows._pieces(row)]
                assert all(c is None or restore(c) == t for c, t in zip(made, texts, strict=True))
                assert len(rows.ids(row, 0)) == sum(len(ids) for _, ids in rows.corrupted(row, 0))
            room["all" if fits else "some"] += 1
    assert min(room.values()) > 3


@given(st.integers(1, 50), st.integers(0, 9))
def test_every_epoch_visits_every_row_once(n: int, seed: int) -> None:
    for order in ("identical", "reshuffled"):
        samples = [sample_at(i, n, seed, order) for i in range(3 * n)]
        for epoch in range(3):
            visited = [row for e, row in samples if e == epoch]
            assert sorted(visited) == list(range(n))
    identical = [sample_at(i, n, seed, "identical")[1] for i in range(2 * n)]
    assert identical[:n] == identical[n:]


def test_reshuffled_epochs_differ() -> None:
    rows = [sample_at(i, 100, 0, "reshuffled")[1] for i in range(200)]
    assert rows[:100] != rows[100:]


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "é" * 3000, "x = 1\n" * 2000, "ab\n" + "y" * 3000 + "\nz = 1\n"],
    ids=["one line", "two bytes a character", "short lines", "mixed"],
)
def test_awkward_documents_end_and_lose_nothing(
    text: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    made = split_of(tmp_path, Document(text, "a.py", "p"))
    rows = Rows(made, tokenizer, 64, Corruption(rate=0.0), 0)
    ids = [i for row in range(len(rows)) for i in rows.ids(row, 0)]
    assert tokenizer.decode(ids) == text + "<|endoftext|>"


def test_the_realised_distribution_is_shown(rows: Rows) -> None:
    text = realised(rows)
    assert "causal" in text and "whole lines" in text


BODY = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(20))


def test_metadata_stands_before_a_corrupted_body(tmp_path: Path, tokenizer: Tokenizer) -> None:
    headed = with_metadata(1.0)(Document(BODY, "a.py", "me/mine", stars=17))
    assert isinstance(headed, Document) and len(headed.marks) == 3
    rows = Rows(split_of(tmp_path, headed), tokenizer, 2048, Corruption(rate=1.0), seed=1)
    ids = rows.ids(0, 0)
    assert tokenizer.decode(ids).startswith("<reponame>me/mine<filename>a.py<gh_stars>10-100\n")
    assert ids.count(rows.sentinels.separator) == 1
    ((corrupted, _),) = rows.corrupted(0, 0)
    assert corrupted is not None and restore(corrupted) == BODY


def test_records_keep_their_marks_and_stay_causal(tmp_path: Path, tokenizer: Tokenizer) -> None:
    commit = Document(
        f"{BODY}fix{BODY}", "c", "r",
        marks=((0, "<commit_before>"), (len(BODY), "<commit_msg>"),
               (len(BODY) + 3, "<commit_after>"), (2 * len(BODY) + 3, "<issue_closed>")),
    )  # fmt: skip
    plain = Document(BODY, "p", "r", marks=((0, "<jupyter_start>"),))
    rows = Rows(split_of(tmp_path, commit, plain), tokenizer, 64, Corruption(rate=1.0), seed=1)
    ids = [i for row in range(len(rows)) for i in rows.ids(row, 0)]
    assert tokenizer.decode(ids) == (
        f"<commit_before>{BODY}<commit_msg>fix<commit_after>{BODY}<issue_closed><|endoftext|>"
        f"<jupyter_start>{BODY}<|endoftext|>"
    )
