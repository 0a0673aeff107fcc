"""How much a file is like code that people wrote to be read: a logistic model of plain features.

The shipped model was trained by `scripts/quality.py` (seed 0) on Python files of the standard
library and of 120 packages: 3,658 good ones that the filters keep, and three kinds of bad ones, of
which are generated or mostly literals 243, copies of good ones minified by program 925, and copies
with their tokens shuffled 923. Of 300 packages and top-level modules, 79 were held out whole; on
their files the area under the curve is 0.986 (0.930, 0.994 and 0.991 for the three kinds). A
threshold of 0.06 drops 1 % of the good and 76 % of the bad ones there, 0.49 drops 5 % and 94 %.

It tells code written to be read from code that is not; it does not know whether code is right. It
scores other languages too, but has seen none: choose a threshold there by looking.
"""

from __future__ import annotations

import json
import re
import string
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codegen25.data.documents import Document, Step
from codegen25.data.languages import comments
from codegen25.errors import UserError

LOOKED_AT = 50_000
"""Characters from the start of a file that are judged."""
SHIPPED = "quality.json"
Features = NDArray[np.float64]

FEATURES = (
    "comments", "log words", "word length", "one-letter words", "different words", "capitals",
    "digits", "signs", "spaces", "beyond ASCII", "mean line", "spread of lines",
    "log longest line", "blank lines", "repeated lines", "indent", "compression", "definitions",
    "brackets closed early", "brackets left open",
)  # fmt: skip
"""What `features` measures, in order; shares of characters, words or lines unless named else."""


def comment_share(document: Document) -> float:
    """Share of the characters that are comments and, in Python, docstrings."""
    return _comments(document.text, document.language)


def _comments(text: str, language: str) -> float:
    found = sum(len(each) for _, each in comments(text, language, docstrings=True))
    return found / max(1, len(text))


_WORD = re.compile(r"[^\W\d]\w*")
_DEFINITION = re.compile(r"\b(?:def|class|function|func|fn|fun|struct|interface|sub|impl)\b")
_SIGNS = sorted(set(string.punctuation.encode()) - {ord("_")})


def features(text: str, language: str = "python") -> Features:
    """What `FEATURES` names, of the start of `text`: [20]."""
    text = text[:LOOKED_AT]
    size = max(1, len(text))
    raw = np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)
    lines = text.splitlines() or [""]
    lengths = np.array([len(line) for line in lines], dtype=np.float64)
    written = [line for line in lines if line.strip()] or [""]
    indents = [len(line) - len(line.lstrip()) for line in written]
    words = _WORD.findall(text) or [""]
    early, left_open = _brackets(raw)
    return np.array([
        _comments(text, language),
        np.log(len(words)),
        np.mean([len(word) for word in words]),
        sum(len(word) == 1 for word in words) / len(words),
        len(set(words[:1000])) / len(words[:1000]),
        _share(raw, ord("A"), ord("Z")),
        _share(raw, ord("0"), ord("9")),
        np.bincount(raw, minlength=256)[_SIGNS].sum() / size,
        sum(map(text.count, " \t\n")) / size,
        1 - len(text.encode("ascii", "ignore")) / size,
        lengths.mean(),
        lengths.std() / (1 + lengths.mean()),
        np.log1p(lengths.max()),
        1 - len(written) / len(lines),
        1 - len({line.strip() for line in written}) / len(written),
        np.mean(indents),
        len(zlib.compress(text.encode("utf-8", "replace"), 1)) / size,
        len(_DEFINITION.findall(text)) / len(lines),
        early,
        left_open,
    ])  # fmt: skip


def _share(raw: NDArray[np.uint8], first: int, last: int) -> float:
    return float(np.mean((raw >= first) & (raw <= last))) if len(raw) else 0.0


def _brackets(raw: NDArray[np.uint8]) -> tuple[float, float]:
    """Of all brackets, the share that close more than was open, and that are never closed."""
    steps = np.isin(raw, list(b"([{")).astype(np.int64) - np.isin(raw, list(b")]}"))
    steps = steps[steps != 0]
    if not len(steps):
        return 0.0, 0.0
    depth = steps.cumsum()
    lowest = min(0, int(depth.min()))
    return -lowest / len(steps), (int(depth[-1]) - lowest) / len(steps)


@dataclass(frozen=True)
class Model:
    """A logistic model of standardised features; each field but `bias` has one number a feature."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def score(self, text: str, language: str = "python") -> float:
        """Chance, from 0 to 1, that `text` is one of the good; the same for both classes before."""
        return float(self.scores(features(text, language)[None])[0])

    def scores(self, rows: Features) -> Features:
        """The scores [n] of feature rows [n, 20]."""
        standard = np.clip((rows - self.mean) / self.scale, -5, 5)
        return _logistic(standard @ np.array(self.weights) + self.bias)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read what `save` wrote. Raises UserError if `path` is something else."""
        try:
            return cls.of(path.read_text())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: no quality model ({error}); train one anew") from error

    @classmethod
    def of(cls, text: str) -> Model:
        """The model in JSON `text`. Raises ValueError, KeyError or TypeError if there is none."""
        data = json.loads(text)
        if tuple(data["names"]) != FEATURES:
            raise ValueError("it was trained on other features")
        rows = {name: tuple(map(float, data[name])) for name in ("mean", "scale", "weights")}
        if any(len(row) != len(FEATURES) for row in rows.values()):
            raise ValueError("numbers are missing")
        return cls(FEATURES, bias=float(data["bias"]), **rows)


def _logistic(x: Features) -> Features:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


def train(good: Iterable[str], bad: Iterable[str], language: str = "python") -> Model:
    """Fit a model to tell `good` texts from `bad` ones. Raises ValueError if either is empty."""
    return fit([features(text, language) for text in good], [features(t, language) for t in bad])


def fit(good: Sequence[Features], bad: Sequence[Features], ridge: float = 1e-3) -> Model:
    """`train` from the features of each text; both classes weigh the same; L2 cost `ridge`."""
    if not len(good) or not len(bad):
        raise ValueError("good and bad texts are needed")
    rows = np.array([*good, *bad])
    wanted = np.repeat([1.0, 0.0], [len(good), len(bad)])
    weight = np.repeat([0.5 / len(good), 0.5 / len(bad)], [len(good), len(bad)])
    mean, scale = rows.mean(0), rows.std(0) + 1e-6
    inputs = np.hstack([np.clip((rows - mean) / scale, -5, 5), np.ones((len(rows), 1))])
    cost = np.full(inputs.shape[1], ridge)
    cost[-1] = 0
    solution = np.zeros(inputs.shape[1])
    for _ in range(30):
        guess = _logistic(inputs @ solution)
        slope = inputs.T @ (weight * (guess - wanted)) + cost * solution
        bend = (inputs * (weight * guess * (1 - guess))[:, None]).T @ inputs + np.diag(cost + 1e-9)
        solution -= np.linalg.solve(bend, slope)
    mean, scale, weights = np.round([mean, scale, solution[:-1]], 6).tolist()
    return Model(FEATURES, tuple(mean), tuple(scale), tuple(weights), round(float(solution[-1]), 6))


@cache
def shipped() -> Model:
    """The model that comes with the package."""
    return Model.of((files("codegen25.data") / SHIPPED).read_text())


def score(document: Document, model: Model | None = None) -> float:
    """The document's score by `model`, or by the shipped one."""
    return (model or shipped()).score(document.text, document.language or "python")


def at_least(threshold: float, model: Model | None = None) -> Step:
    """A step that drops what scores below `threshold`."""
    return partial(_judge, threshold=threshold, model=model)


def _judge(document: Document, threshold: float, model: Model | None) -> Document | str:
    return document if score(document, model) >= threshold else "low quality"
