from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data import minhash
from codegen25.data.minhash import BANDS, EMPTY, NGRAM, NO_KEY, ROWS, VALUES

SNIPPET = "def area(width, height):\n    return width * height  # in square metres\n" * 3
# The signature of SNIPPET: stored signatures are worth nothing once it changes.
SNIPPET_DIGEST = "3181946bf0effb66"

# "K" here is the Kelvin sign: str.lower makes an ASCII letter of it, but it is none.
TEXTS = st.text(alphabet="abXY09_ \n.(\u00e9\u4e2d\u212a\ud800", max_size=120)


def ngrams(text: str) -> set[tuple[str, ...]]:
    """The definition, without numpy: runs of five ASCII words, lower-cased."""
    words = [word.lower() for word in re.findall(r"[A-Za-z0-9_]+", text)]
    return set(zip(*(words[place:] for place in range(NGRAM)), strict=False))


def jaccard(left: str, right: str) -> float:
    a, b = ngrams(left), ngrams(right)
    return len(a & b) / len(a | b)


def words(rng: random.Random, count: int) -> list[str]:
    return [f"name_{rng.randrange(400)}" for _ in range(count)]


def edited(rng: random.Random, text: list[str], edits: int) -> list[str]:
    """A copy with `edits` words replaced, dropped or doubled."""
    copy = list(text)
    for _ in range(edits):
        place = rng.randrange(len(copy))
        copy[place : place + 1] = rng.choice([[f"new_{rng.random()}"], [], [copy[place]] * 2])
    return copy


def digest(text: str) -> str:
    return hashlib.sha256(minhash.signature(text).astype("<u4").tobytes()).hexdigest()[:16]


@given(TEXTS)
def test_only_the_words_count(text: str) -> None:
    lowered = [word.lower() for word in re.findall(r"[A-Za-z0-9_]+", text)]
    assert np.array_equal(minhash.signature(text), minhash.signature(" ".join(lowered)))
    assert (minhash.signature(text) == EMPTY).all() == (len(lowered) < NGRAM)


@given(TEXTS, TEXTS)
def test_signatures_are_equal_where_the_sets_are(left: str, right: str) -> None:
    equal = np.array_equal(minhash.signature(left), minhash.signature(right))
    assert equal == (ngrams(left) == ngrams(right))


@given(st.permutations(["alpha", "beta", "gamma", "delta", "epsilon"]))
def test_the_order_of_words_counts(shuffled: list[str]) -> None:
    in_order = " ".join(sorted(shuffled))
    equal = np.array_equal(minhash.signature(" ".join(shuffled)), minhash.signature(in_order))
    assert equal == (shuffled == sorted(shuffled))


@given(st.lists(TEXTS, max_size=8))
def test_a_batch_gives_each_text_its_own_signature(texts: list[str]) -> None:
    alone = [minhash.signature(text) for text in texts]
    assert np.array_equal(minhash.signatures(texts), np.array(alone).reshape(-1, VALUES))


@given(st.lists(TEXTS, max_size=8), st.integers(1, 40))
def test_windows_cut_no_word(texts: list[str], window: int) -> None:
    expected = minhash.signatures(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "_WINDOW", window)
        assert np.array_equal(minhash.signatures(texts), expected)


def test_words_longer_than_the_tables_of_powers() -> None:
    long = "a" * (3 * minhash._WINDOW)
    first, second = (f"one two {long}{end} four five" for end in "bc")
    assert not (minhash.signature(first) == minhash.signature(second)).any()
    assert np.array_equal(minhash.signature(first), minhash.signature(f" . {first.upper()}"))


def test_every_bin_of_a_signature_is_filled() -> None:
    for count in (NGRAM, NGRAM + 1, 20, 300):
        values = minhash.signature(" ".join(words(random.Random(count), count)))
        assert (values != EMPTY).all()
        assert len(np.unique(values)) <= count - NGRAM + 1


@pytest.mark.parametrize("count", [8, 30, 120, 300, 700, 3000])
def test_the_estimate_is_that_of_256_permutations(count: int) -> None:
    rng = random.Random(count)
    pairs = []
    for _ in range(60):
        text = words(rng, count)
        pairs.append(
            (" ".join(text), " ".join(edited(rng, text, rng.randrange(1, 2 + count // 8))))
        )
    table = minhash.signatures([text for pair in pairs for text in pair])
    rows = np.arange(len(table)).reshape(-1, 2)
    exact = np.array([jaccard(*pair) for pair in pairs])
    error = minhash.estimated_jaccard(rows, table, chunk=7) - exact
    deviation = np.sqrt(exact * (1 - exact) / VALUES)
    assert (np.abs(error) <= 4 * deviation + 1e-12).all()
    assert abs(error.sum()) <= 4 * np.sqrt((deviation**2).sum())
    # 60 squared errors: a mean over 1.8 times the variance has a chance of about 1 in 10^4
    assert (error**2).sum() <= 1.8 * (deviation**2).sum()


def test_signatures_are_those_of_every_process_and_version() -> None:
    code = "from test_minhash import SNIPPET, digest; print(digest(SNIPPET))"
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(Path(__file__).parent),
        }
        command = [sys.executable, "-c", code]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert out.stdout.strip() == SNIPPET_DIGEST


def test_a_line_of_ten_megabytes() -> None:
    rng = random.Random(0)
    line = ",".join(words(rng, 20_000)) * 60
    assert len(line) > 10e6
    tracemalloc.start()
    try:
        values = minhash.signature(line)
        assert tracemalloc.get_traced_memory()[1] < 14 * len(line)
    finally:
        tracemalloc.stop()
    half = minhash.signature(line[: len(line) // 2])
    assert (values == half).mean() == pytest.approx(jaccard(line, line[: len(line) // 2]), abs=0.1)
    assert (minhash.signature("QUJD" * 2_500_000) == EMPTY).all()


def test_two_documents_share_a_key_where_ten_values_agree() -> None:
    table = np.random.default_rng(0).integers(0, 2**32, (3, VALUES), dtype=np.uint32)
    table[1, ROWS : 2 * ROWS] = table[0, ROWS : 2 * ROWS]
    table[1, 3 * ROWS : 4 * ROWS - 1] = table[0, 3 * ROWS : 4 * ROWS - 1]
    keys = minhash.band_keys(table)
    assert keys.shape == (3, BANDS) and keys.dtype == np.uint64
    assert np.flatnonzero(keys[0] == keys[1]).tolist() == [1]
    assert not (keys[0] == keys[2]).any()


def test_equal_values_in_different_bands_make_different_keys() -> None:
    keys = minhash.band_keys(np.full((1, VALUES), 7, dtype=np.uint32))
    assert len(np.unique(keys)) == BANDS


def test_a_document_without_a_signature_has_no_key() -> None:
    keys = minhash.band_keys(minhash.signatures(["", "a b c d", "a b c d e"]))
    assert (keys[:2] == NO_KEY).all() and (keys[2] != NO_KEY).all()
    assert minhash.band_keys(minhash.signatures([])).shape == (0, BANDS)


def test_signatures_may_be_mapped(tmp_path: Path) -> None:
    table = np.random.default_rng(1).integers(0, 2**32, (50, VALUES), dtype=np.uint32)
    np.save(tmp_path / "signatures.npy", table)
    mapped = np.load(tmp_path / "signatures.npy", mmap_mode="r")
    assert np.array_equal(minhash.band_keys(mapped, chunk=7), minhash.band_keys(table))
    pairs = np.array([[0, 1], [2, 2]])
    assert minhash.estimated_jaccard(pairs, mapped).tolist() == [0.0, 1.0]
