from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data import quality
from codegen25.data.documents import Document
from codegen25.data.quality import FEATURES, Model, features
from codegen25.errors import UserError


def document(text: str, language: str = "python") -> Document:
    return Document(text, "a.py", "a", "MIT", language)


def feature(text: str, name: str, language: str = "python") -> float:
    return float(features(text, language)[FEATURES.index(name)])


def test_features_are_what_their_names_say() -> None:
    text = "# note\ndef area(w, h):\n    return w * h\n\n\nX = area(10, 2)\n"
    assert len(features(text)) == len(FEATURES)
    assert feature(text, "comments") == 6 / len(text)
    assert feature(text, "one-letter words") == 5 / 10
    assert feature(text, "different words") == 7 / 10
    assert feature(text, "digits") == 3 / len(text)
    assert feature(text, "capitals") == 1 / len(text)
    assert feature(text, "blank lines") == pytest.approx(2 / 6)
    assert feature(text, "indent") == 1
    assert feature(text, "definitions") == 1 / 6
    assert feature(text, "brackets left open") == feature(text, "brackets closed early") == 0
    assert feature("((a", "brackets left open") == 1
    assert feature("a))(", "brackets closed early") == 2 / 3
    assert feature("a\na\nb\n", "repeated lines") == pytest.approx(1 / 3)


@given(st.text(), st.sampled_from(["python", "c", "", "html"]))
def test_any_text_has_finite_features_and_a_score(text: str, language: str) -> None:
    assert np.isfinite(features(text, language)).all()
    assert 0 <= quality.score(document(text, language)) <= 1


@pytest.mark.parametrize(
    ("language", "text", "share"),
    [
        ("python", '"""Doc."""\nx = 1\n', 10 / 17),
        ("python", "x = '''no doc'''\n", 0),
        ("python", 'def f():\n    r"""Doc."""\n', 10 / 25),
        ("python", "x = 1  # one\n", 5 / 13),
        ("c", "/* a */ int b; // c\n", 11 / 20),
        ("", "", 0),
    ],
)
def test_the_share_of_comments(language: str, text: str, share: float) -> None:
    assert quality.comment_share(document(text, language)) == pytest.approx(share)


def shuffled(text: str, seed: int) -> str:
    words = text.split()
    random.Random(seed).shuffle(words)
    return "\n".join(" ".join(words[i : i + 8]) for i in range(0, len(words), 8))


def test_training_tells_code_from_its_words_in_disorder(
    source_texts: list[str], tmp_path: Path
) -> None:
    bad = [shuffled(text, i) for i, text in enumerate(source_texts)]
    model = quality.train(source_texts[::2], bad[::2])
    good_scores = [model.score(text) for text in source_texts[1::2]]
    bad_scores = [model.score(text) for text in bad[1::2]]
    assert np.median(good_scores) > 0.9 and np.median(bad_scores) < 0.1
    again = quality.train(source_texts[::2], bad[::2])
    assert again == model
    model.save(tmp_path / "model.json")
    assert Model.load(tmp_path / "model.json") == model


def test_both_kinds_are_needed() -> None:
    for good, bad in (([], ["x"]), (["x"], [])):
        with pytest.raises(ValueError, match="needed"):
            quality.train(good, bad)


def test_the_shipped_model_likes_our_own_source_better_than_its_words(
    source_texts: list[str],
) -> None:
    long = [text for text in source_texts if len(text) > 2000]
    good = [quality.score(document(text)) for text in long]
    bad = [quality.score(document(shuffled(text, i))) for i, text in enumerate(long)]
    squeezed = [quality.score(document(" ".join(text.split()))) for text in long]
    assert np.mean(np.array(good) > 0.5) > 0.9
    assert np.mean(np.array(bad) < 0.5) > 0.9 and np.mean(np.array(squeezed) < 0.5) > 0.9


def test_the_step_drops_below_its_threshold_and_travels(source_texts: list[str]) -> None:
    given_ = document(max(source_texts, key=len))
    value = quality.score(given_)
    below, above = (
        pickle.loads(pickle.dumps(quality.at_least(t, quality.shipped())))
        for t in (value - 1e-6, value + 1e-6)
    )
    assert below(given_) is given_
    assert above(given_) == "low quality"


@pytest.mark.parametrize("change", [{"names": ["x"]}, {"mean": [1.0]}, {"bias": None}, None])
def test_what_is_no_model_is_refused(tmp_path: Path, change: dict[str, object] | None) -> None:
    path = tmp_path / "model.json"
    with pytest.raises(UserError, match=r"model\.json"):
        Model.load(path)
    quality.shipped().save(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | change) if change else "no json")
    with pytest.raises(UserError, match=r"model\.json"):
        Model.load(path)
