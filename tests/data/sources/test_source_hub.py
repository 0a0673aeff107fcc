from __future__ import annotations

import os
from pathlib import Path

import pytest
from source_helpers import PYTHON, read

from codegen25.data.sources import HuggingFace
from codegen25.errors import UserError

datasets = pytest.importorskip("datasets")


def shards(folder: Path) -> HuggingFace:
    arrow = pytest.importorskip("pyarrow")
    library = pytest.importorskip("pyarrow.parquet")
    for shard in range(3):
        table = {
            "content": [PYTHON * (number + 1) for number in range(4)],
            "max_stars_repo_path": [f"{shard}/{number}.py" for number in range(4)],
            "max_stars_repo_name": ["o/n"] * 4,
        }
        library.write_table(arrow.table(table), folder / f"{shard}.parquet")
    return HuggingFace("parquet", files=(str(folder / "*.parquet"),))


def test_a_task_a_shard(tmp_path: Path) -> None:
    source = shards(tmp_path)
    assert len(source.tasks(tmp_path)) == 3
    documents, count = read(source, tmp_path)
    assert sorted(documents) == [f"o/n/{s}/{n}.py" for s in range(3) for n in range(4)]
    assert documents["o/n/1/2.py"].text == PYTHON * 3
    assert not count.reasons


def test_a_broken_shard_leaves_the_others(tmp_path: Path) -> None:
    source = shards(tmp_path)
    tasks = source.tasks(tmp_path)
    (tmp_path / "1.parquet").write_bytes(b"PAR1 no table")
    assert len(tasks) == 3
    documents, count = read(source, tmp_path)
    assert len(documents) == 8 and count.reasons == {"corrupt file": 1}


def test_the_state_follows_the_files(tmp_path: Path) -> None:
    source = shards(tmp_path)
    before = source.tasks(tmp_path)[0].state()
    os.utime(tmp_path / "0.parquet", (1, 1))
    from codegen25.data.sources import hub

    hub._opened.cache_clear()
    assert source.tasks(tmp_path)[0].state() != before


def test_what_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    source = shards(tmp_path)
    with pytest.raises(UserError, match=r"hf:parquet cannot be opened: .*nope"):
        HuggingFace("parquet", split="nope", files=source.files).tasks(tmp_path)
    with pytest.raises(UserError, match="hf:parquet cannot be opened"):
        HuggingFace("parquet", files=(str(tmp_path / "none.parquet"),)).tasks(tmp_path)
