from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.models import DEFAULT, resolve
from codegen25.sample.healing import MOST_TOKENS, Forced, Vocabulary, heal
from codegen25.tokenizer import Tokenizer
from codegen25.vocabulary import byte_spelling

SHIPPED = Tokenizer.load(resolve(DEFAULT) / "tokenizer.json")
VOCABULARY = Vocabulary(SHIPPED)
CODE = Path(__file__).read_text()

texts = st.one_of(
    st.integers(0, len(CODE)).flatmap(
        lambda end: st.integers(0, 60).map(lambda size: CODE[max(0, end - size) : end])
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("é€😀\n\t x", max_size=12),
)


def spelled(tokens: list[int], vocabulary: Vocabulary) -> bytes:
    return b"".join(vocabulary.bytes_of(token) or b"?" for token in tokens)


@pytest.fixture(scope="module")
def small(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer)


def test_bytes_are_those_of_the_tokenizer(tokenizer: Tokenizer, small: Vocabulary) -> None:
    text = CODE + "é€😀\x00\r\n\t"
    for each, vocabulary in ((tokenizer, small), (SHIPPED, VOCABULARY)):
        assert spelled(each.encode(text), vocabulary) == text.encode()
        assert [vocabulary.bytes_of(i) for i in each.special_ids] == [None] * len(each.special_ids)
        assert vocabulary.bytes_of(each.vocab_size) is None


def test_the_index_finds_what_a_scan_finds(small: Vocabulary) -> None:
    known = {i: data for i in range(800) if (data := small.bytes_of(i)) is not None}
    for data in [b"r", b"re", b"return x", b" ", b" " * 40, b"\n    ", "é".encode(), b"~~~", b"se"]:
        expected = [i for i, d in known.items() if d.startswith(data) or data.startswith(d)]
        assert small.consistent(data).tolist() == sorted(expected)
        longer = any(d.startswith(data) and d != data for d in known.values())
        assert small.extends(data) == longer


def test_a_cut_word_is_healed() -> None:
    text = "def f(x):\n    ret"
    kept, forced = heal(text, SHIPPED.encode(text), VOCABULARY)
    assert SHIPPED.decode(kept) + forced.decode() == text and forced.endswith(b"ret")
    [whole] = SHIPPED.encode(" return")
    assert forced == b" ret" and whole in VOCABULARY.consistent(forced)


def test_what_needs_no_healing_stays() -> None:
    assert heal("", [], VOCABULARY) == ([], b"")
    mask = SHIPPED.special("<mask_1>")
    assert mask is not None
    assert heal("", [5, mask], VOCABULARY) == ([5, mask], b"")
    ids = SHIPPED.encode("~~~§")
    assert heal("~~~§", ids, VOCABULARY) == (ids, b"")
    # Ids of another text are not touched.
    assert heal("abc", SHIPPED.encode("ret"), VOCABULARY) == (SHIPPED.encode("ret"), b"")


def test_no_token_is_healed_across_a_control_token() -> None:
    mask = SHIPPED.special("<mask_1>")
    assert mask is not None
    ids = [*SHIPPED.encode("x = "), mask, *SHIPPED.encode("ret")]
    kept, forced = heal("ret", ids, VOCABULARY)
    assert mask in kept and SHIPPED.decode(kept[kept.index(mask) + 1 :]) + forced.decode() == "ret"


@settings(max_examples=200, deadline=None)
@given(texts)
def test_no_text_is_lost(text: str) -> None:
    ids = SHIPPED.encode(text)
    kept, forced = heal(text, ids, VOCABULARY)
    assert SHIPPED.decode(kept) + forced.decode() == text
    assert kept == ids[: len(kept)] and len(ids) - len(kept) <= MOST_TOKENS
    assert not forced or VOCABULARY.extends(forced)
    # The longest there is.
    for begin in range(max(0, len(ids) - MOST_TOKENS), len(kept)):
        tail = spelled(ids[begin:], VOCABULARY)
        assert not VOCABULARY.extends(tail) or 0x80 <= tail[0] < 0xC0


@settings(max_examples=200, deadline=None)
@given(texts, st.randoms(use_true_random=False), st.booleans())
def test_whatever_is_allowed_spells_the_beginning(
    small: Vocabulary, text: str, random: object, shipped: bool
) -> None:
    vocabulary = VOCABULARY if shipped else small
    forced, data, taken = Forced(text.encode(), vocabulary), text.encode(), []
    assert forced.text_cut == len(text)
    while (ids := forced.allowed()) is not None:
        assert not forced.done and len(ids) and len(set(ids.tolist())) == len(ids)
        taken.append(random.choice(ids.tolist()))  # type: ignore[attr-defined]
        forced.take(taken[-1])
        assert len(taken) <= len(data)
    assert forced.done and spelled(taken, vocabulary).startswith(data)
    forced.take(0)  # any token may follow
    assert forced.allowed() is None


def test_the_text_itself_is_allowed() -> None:
    text = CODE[:2000]
    forced = Forced(text.encode(), VOCABULARY)
    for token in SHIPPED.encode(text):
        assert (ids := forced.allowed()) is not None and token in ids
        forced.take(token)
    assert forced.done


def test_logits_are_restricted() -> None:
    forced = Forced(b"ret", VOCABULARY)
    logits = np.arange(SHIPPED.vocab_size, dtype=np.float32)
    ids = forced.allowed()
    assert ids is not None
    restricted = forced.restrict(logits)
    assert np.flatnonzero(np.isfinite(restricted)).tolist() == ids.tolist()
    assert restricted[ids].tolist() == logits[ids].tolist()
    assert Forced(b"", VOCABULARY).restrict(logits) is logits


def test_what_is_not_allowed_is_refused() -> None:
    forced = Forced(b"ret", VOCABULARY)
    for token in (SHIPPED.encode("x")[0], SHIPPED.special_ids[0], 10**6):
        with pytest.raises(ValueError, match="does not go on"):
            forced.take(token)
    with pytest.raises(UnicodeDecodeError):
        Forced("é".encode()[1:], VOCABULARY)


def test_an_alphabet_of_bytes_is_needed() -> None:
    words = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"▁a": 0, "b": 1}, merges=[]))
    with pytest.raises(UserError, match="no byte-level BPE"):
        Vocabulary(Tokenizer(words))


def test_added_tokens_that_are_text_are_text() -> None:
    backend = tokenizers.Tokenizer.from_str(SHIPPED.backend.to_str())
    backend.add_tokens([tokenizers.AddedToken("hello world é", special=False)])
    tokenizer = Tokenizer(backend)
    vocabulary = Vocabulary(tokenizer)
    token = tokenizer.vocab_size - 1
    assert vocabulary.bytes_of(token) == "hello world é".encode()
    assert token in vocabulary.consistent(b"hello wor")


def test_no_character_is_cut() -> None:
    """Not even where a token begins inside one, as this vocabulary's for the end of a € does."""
    spelling = byte_spelling()
    vocab = {spelling[byte]: byte for byte in range(256)} | {spelling[0x82] + spelling[0xAC]: 256}
    merges = [(spelling[0x82], spelling[0xAC])]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(backend)
    assert tokenizer.encode("€₂") == [0xE2, 256, 0xE2, 0x82, 0x82]
    assert heal("€₂", tokenizer.encode("€₂"), Vocabulary(tokenizer)) == (
        tokenizer.encode("€₂"),
        b"",
    )
