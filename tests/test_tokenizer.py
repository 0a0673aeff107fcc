from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25 import vocabulary
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer

WHITESPACE = [" " * 33 + "a", " " * 64, "\t" * 20, "\n\t\t\tif", "\n    return name", "a \t\n  b"]


@pytest.fixture
def original(tiktoken_cache: Path) -> Tokenizer:
    return vocabulary.codegen25()


def test_the_publishers_vectors(original: Tokenizer) -> None:
    assert original.encode("int add(int a, int b) { return a + b; }\nπ") == [
        600, 751, 7, 600, 257, 11, 493, 275, 8, 1391, 1441, 257, 1343, 275, 26, 1782, 198, 46582,
    ]  # fmt: skip
    parsed = original.backend
    parsed.encode_special_tokens = False
    fim = parsed.encode("<fim_prefix>abc<fim_suffix>xyz<fim_middle>", add_special_tokens=False)
    assert fim.ids == [50295, 39305, 50297, 5431, 89, 50296]
    hole = parsed.encode("prefix<mask_1>suffix<|endoftext|><sep><mask_1>", add_special_tokens=False)
    assert hole.ids == [40290, 51199, 37333, 844, 50256, 50317, 51199]


def test_the_original_layout(original: Tokenizer) -> None:
    assert original.vocab_size == 51200
    names = {"<|endoftext|>": 50256, "<fim_prefix>": 50295, "<filename>": 50299, "<sep>": 50317}
    names |= {"<reponame>": 50312, "<eom>": 50318, "<mask_881>": 50319, "<mask_1>": 51199}
    assert {name: original.special(name) for name in names} == names
    assert original.encode(" " * 31) == [50257] and original.encode("\t\t") == [50294]
    assert original.encode("\n    return name") == [198, 50285, 1441, 1438]


def _strings(count: int) -> list[str]:
    rng = random.Random(0)
    alphabet = [
        "    ",
        "  ",
        " ",
        "\n",
        "\t",
        "def ",
        "return",
        "x",
        "π",
        "😀",
        "0",
        "_",
        "(",
        "'s",
    ]
    pieces = [
        "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 40))) for _ in range(count)
    ]
    points = [
        "".join(
            chr(rng.choice([rng.randrange(32, 127), rng.randrange(1, 0xD800)])) for _ in range(30)
        )
        for _ in range(count // 2)
    ]
    return pieces + points


def test_it_agrees_with_a_tiktoken_oracle(original: Tokenizer) -> None:
    import tiktoken

    gpt2 = tiktoken.get_encoding("gpt2")
    ranks = dict(gpt2._mergeable_ranks)
    runs = [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]
    ranks |= {run.encode(): 50257 + i for i, run in enumerate(runs)}
    oracle = tiktoken.Encoding(
        "codegen25", pat_str=gpt2._pat_str, mergeable_ranks=ranks, special_tokens={}
    )
    real = [path.read_text()[:3000] for path in sorted(Path(random.__file__).parent.glob("a*.py"))]
    texts = WHITESPACE + _strings(800) + real
    assert len(texts) > 1000
    wrong = [text for text in texts if original.encode(text) != oracle.encode_ordinary(text)]
    assert wrong == []


def test_without_ranks_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import requests
    import tiktoken.registry

    def offline(*args: object, **kwargs: object) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(requests, "get", offline)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    with pytest.raises(UserError, match="TIKTOKEN_CACHE_DIR"):
        vocabulary.codegen25()


@given(st.text(max_size=200))
def test_encoding_loses_nothing(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(max_size=80))
@settings(max_examples=60)
def test_a_stream_shows_the_same_text_and_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    stream = tokenizer.stream()
    pieces = [stream.push(i) for i in tokenizer.encode(text)]
    assert "".join(pieces) + stream.flush() == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_stream_that_ends_inside_a_character_says_so(tokenizer: Tokenizer) -> None:
    stream = tokenizer.stream()
    ids = tokenizer.encode("😀")[:-1]
    shown = "".join(stream.push(i) for i in ids)
    assert shown == "" and stream.flush() == "\ufffd"


def test_lone_surrogates_are_the_users_mistake(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="surrogate"):
        tokenizer.encode("\ud800")


def test_a_trained_vocabulary_has_our_layout(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 800
    assert tokenizer.special("<mask_1>") == 799
    assert tokenizer.special("<mask_64>") == 736
    assert tokenizer.special("<mask_65>") is None
    for name in ("<|endoftext|>", "<sep>", "<eom>", "<filename>", "<commit_before>"):
        assert tokenizer.special(name) is not None


def test_every_common_whitespace_run_is_one_token(tokenizer: Tokenizer) -> None:
    for run in vocabulary.WHOLE_RUNS:
        assert len(tokenizer.encode(run)) == 1, repr(run)


def test_transformers_reads_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer.save(tmp_path / "tokenizer.json")
    other = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in [*WHITESPACE, "def f(x):\n    return π\n"]:
        assert other.encode(text, add_special_tokens=False) == tokenizer.encode(text)


def test_too_small_a_vocabulary_or_too_little_text_is_refused() -> None:
    with pytest.raises(UserError, match="too small"):
        vocabulary.train(iter(["x"]), 300)
    with pytest.raises(UserError, match="yields only"):
        vocabulary.train(iter(["x = 1"]), 4096)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json")
