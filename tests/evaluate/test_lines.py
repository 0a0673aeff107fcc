from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from codegen25.data.documents import Document
from codegen25.data.shards import TextShard
from codegen25.evaluate import lines
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Shape
from conftest import split_of

HOLES = [(f"before {i}\n", f"line number {i}\n", f"after {i}\n") for i in range(3)]


class Scripted:
    """An engine that answers as written: stopped and right, stopped and wrong, cut off."""

    context = 400

    def __init__(self, *given: object) -> None:
        self.script: Iterator[tuple[str, str]] = iter(
            [("line number 0\n", "end"), ("line number 0\n", "end"), ("line numb", "length")]
        )
        self.asked: list[tuple[str, str, int]] = []

    def infill(self, before: str, after: str, max_tokens: int) -> SimpleNamespace:
        assert (before, after) == HOLES[len(self.asked)][::2]
        self.asked.append((before, after, max_tokens))
        text, reason = next(self.script)
        return SimpleNamespace(text=text, stop_reason=reason)


def test_rates_count_what_stopped_and_what_is_the_line(
    corpus: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Scripted] = []

    def engine(*given: object) -> Scripted:
        made.append(Scripted())
        return made[-1]

    monkeypatch.setattr(lines, "Engine", engine)
    monkeypatch.setattr(lines, "holes", lambda shard, count: HOLES)
    model = Llama(Shape(layers=1, hidden=32, heads=2).config(tokenizer.vocab_size))
    assert lines.probe(corpus)(model, tokenizer) == {
        "stop_rate": pytest.approx(2 / 3), "exact_match": pytest.approx(1 / 3),
    }  # fmt: skip
    # A quarter of a short context is for the answer, and of a long one no more than a line needs.
    monkeypatch.setattr(Scripted, "context", 100)
    lines.probe(corpus)(model, tokenizer)
    assert [{most for *_, most in each.asked} for each in made] == [{lines.MOST}, {25}]


def written(folder: Path, *texts: str) -> TextShard:
    return split_of(folder, *(Document(text, "a.py", "p") for text in texts), split="heldout")


def test_holes_are_lines_with_what_stands_around_them(tmp_path: Path) -> None:
    source = "import os\n\n\ndef f(x):\n    return os.fspath(x)\n# the end, without a newline"
    found = lines.holes(written(tmp_path, "", source, ""))
    assert found == lines.holes(TextShard(tmp_path, "heldout"))
    assert {middle for _, middle, _ in found} == {
        "import os\n", "def f(x):\n", "    return os.fspath(x)\n",
    }  # fmt: skip
    assert all(before + middle + after == source for before, middle, after in found)


def test_documents_without_lines_are_passed_over(tmp_path: Path) -> None:
    assert lines.holes(written(tmp_path, "", "")) == []
    assert lines.probe(tmp_path)(None, None) == {}
