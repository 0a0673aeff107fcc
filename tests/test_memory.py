from __future__ import annotations

from pathlib import Path

import psutil

from codegen25 import memory


def test_a_container_leaves_what_its_limit_says(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available(tmp_path) == 3000
    (tmp_path / "memory.current").write_text("6000\n")
    assert memory.available(tmp_path) == 0


def test_cached_files_count_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 2500\nactive_file 500\n")
    assert memory.available(tmp_path) == 3500


def test_the_older_hierarchy_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("700\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("200\n")
    assert memory.available(tmp_path) == 500


def test_without_a_limit_the_machine_decides(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("2000\n")
    total = psutil.virtual_memory().total
    assert 0 < memory.available(tmp_path) <= total
    assert 0 < memory.available(tmp_path / "none") <= total
