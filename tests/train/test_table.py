from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25 import vocabulary
from codegen25.data.shards import TextShard
from codegen25.infill import Corruption
from codegen25.tokenizer import Tokenizer
from codegen25.train import rows as rows_module
from codegen25.train.rows import Rows
from codegen25.train.table import FOLDER, Piece, made, stored


@pytest.fixture
def shard(corpus: Path, tmp_path: Path) -> TextShard:
    """A corpus of one's own, which no rows were cut of."""
    shutil.copytree(corpus, tmp_path / "corpus", ignore=shutil.ignore_patterns(FOLDER))
    return TextShard(tmp_path / "corpus")


def files(shard: TextShard) -> list[Path]:
    return sorted((shard.folder / FOLDER).iterdir())


def cut(shard: TextShard, tokenizer: Tokenizer, length: int = 128, window: int = 0) -> Rows:
    return Rows(shard, tokenizer, length, Corruption(rate=0.0), 1, window)


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1)))
def test_a_table_gives_back_its_rows(given: list[list[tuple[int, bool]]]) -> None:
    rows, start = [], 0
    for row in given:
        rows.append([])
        for size, final in row:
            rows[-1].append(Piece(start, start + size, final))
            start += size
    table = made(rows)
    assert list(table) == rows and len(table) == len(rows)
    assert [table[i] for i in range(len(rows))] == rows
    with pytest.raises(IndexError):
        table[len(rows)]


def test_the_corpus_is_tokenised_once(
    shard: TextShard, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cut(shard, tokenizer)

    def again(*arguments: object) -> Iterator[list[Piece]]:
        raise AssertionError("cut again")

    monkeypatch.setattr(rows_module, "_split", again)
    second = cut(shard, tokenizer)
    assert list(second.rows) == list(first.rows) and len(files(shard)) == 1
    assert isinstance(second.rows.pieces.base, np.memmap)
    assert second.ids(3, 0) == first.ids(3, 0)
    with pytest.raises(AssertionError, match="cut again"):  # text, tokenizer and lengths count
        cut(shard, tokenizer, length=64)
    with pytest.raises(AssertionError, match="cut again"):
        cut(shard, tokenizer, window=64)
    with pytest.raises(AssertionError, match="cut again"):
        cut(shard, vocabulary.train(iter(shard), 700))
    with pytest.raises(AssertionError, match="cut again"):
        cut(TextShard(shard.folder, "heldout"), tokenizer)
    shard.ends[0] -= 1
    with pytest.raises(AssertionError, match="cut again"):
        cut(shard, tokenizer)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other"])
def test_a_damaged_table_is_made_anew(shard: TextShard, tokenizer: Tokenizer, damage: str) -> None:
    whole = list(cut(shard, tokenizer).rows)
    (path,) = files(shard)
    raw = bytearray(path.read_bytes())
    if damage == "flipped":
        raw[-20] ^= 1
    path.write_bytes({"cut": raw[:-16], "empty": b"", "other": b"x" * 200}.get(damage, raw))
    assert list(cut(shard, tokenizer).rows) == whole
    assert files(shard) == [path] and len(path.read_bytes()) == len(raw)


def test_a_folder_that_cannot_be_written_to_keeps_nothing(shard: TextShard) -> None:
    (shard.folder / FOLDER).write_text("in the way")
    rows = [[Piece(0, 4, False)], [Piece(4, 9, True)]]
    assert list(stored(shard, "x", lambda: rows)) == rows
    assert not list(shard.folder.glob("*.new")) and (shard.folder / FOLDER).is_file()
