from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_helpers import PYTHON, read_tasks, write

from codegen25.data.documents import Document
from codegen25.data.sources import reading
from codegen25.data.sources.reading import Origin, judge, read_file, skipped, too_large
from codegen25.data.sources.task import File, FilesTask, file_tasks, pieces

ORIGIN = Origin("repo", "MIT", max_bytes=1000)


@pytest.mark.parametrize(
    ("raw", "path", "expected"),
    [
        (b"x = 1\r\ny = 2\r\n", "a.py", "x = 1\ny = 2\n"),
        (b"\xef\xbb\xbfx = 1\n", "a.py", "x = 1\n"),
        (b"", "a.py", ""),
        (b"x = 1\0\n", "a.py", "binary"),
        ("x = 1\n".encode("utf-16"), "a.py", "binary"),
        (b"# caf\xe9\n", "a.py", "not UTF-8"),
        (b"x" * 1001, "a.py", "larger than 1 kB"),
        (b"Permission is hereby granted\n", "LICENSE", "unknown language"),
    ],
)
def test_bytes_become_a_document_or_a_reason(raw: bytes, path: str, expected: str) -> None:
    result = judge(raw, path, ORIGIN)
    assert (result.text if isinstance(result, Document) else result) == expected


def test_a_document_says_where_it_is_from() -> None:
    assert judge(b"x = 1\n", "src/a.py", ORIGIN) == Document(
        "x = 1\n", "src/a.py", "repo", "MIT", "python"
    )


def test_a_files_own_licence_stands_above_the_repositorys_but_not_the_users_word() -> None:
    raw = b"# SPDX-License-Identifier: GPL-3.0-only\n"
    own = judge(raw, "a.py", ORIGIN)
    told = judge(raw, "a.py", Origin("repo", "MIT", declared=True))
    assert isinstance(own, Document) and own.license == "GPL-3.0-only"
    assert isinstance(told, Document) and told.license == "MIT"


@pytest.mark.parametrize(
    ("limit", "words"),
    [(1 << 20, "1 MiB"), (512 << 10, "512 KiB"), (10**6, "1 MB"), (999, "999 bytes"),
     (1 << 40, "100 MB")],
)  # fmt: skip
def test_the_limit_in_words(limit: int, words: str) -> None:
    assert too_large(Origin("r", max_bytes=limit)) == f"larger than {words}"


def test_a_file_is_read_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": b"x" * 50})
    assert read_file(str(tmp_path / "a.py"), 10) == (50, b"x" * 11)


def test_links_pipes_and_missing_files_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x = 1\n"})
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    os.mkfifo(tmp_path / "pipe.py")
    names = ["link.py", "pipe.py", "missing.py"]
    tasks = [FilesTask(tuple(File(str(tmp_path / name), name, ORIGIN) for name in names))]
    documents, count = read_tasks(list(tasks))
    assert not documents
    assert count.reasons == {"symbolic link": 1, "no regular file": 1, "unreadable": 1}
    assert count.examples[0][2].startswith("repo/")


@pytest.mark.parametrize(
    ("path", "is_skipped"),
    [
        ("a.py", False), ("src/a.py", False), (".eslintrc.js", False), (".git/hooks/a.py", True),
        ("x/node_modules/y/a.js", True), ("p/__pycache__/a.py", True), (".github/a.yml", True),
        ("p-1.dist-info/METADATA", True),
    ],
)  # fmt: skip
def test_folders_passed_over(path: str, is_skipped: bool) -> None:
    assert skipped(path) is is_skipped


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_pieces_keep_the_order_and_stop_at_the_target(sizes: list[int], target: int) -> None:
    groups = pieces(sizes, lambda size: size, target)
    assert [size for group in groups for size in group] == sizes
    assert all(groups)
    assert all(sum(group[:-1]) < target for group in groups)
    assert all(sum(group) >= target for group in groups[:-1])


def test_tasks_hold_about_eight_megabytes_whatever_the_order_of_files(tmp_path: Path) -> None:
    origin = Origin("repo")
    write(tmp_path, {f"{number:02}.py": b"#" * 900_000 for number in range(20)})
    files = [File(str(path), path.name, origin) for path in tmp_path.iterdir()]
    tasks = file_tasks(files)
    assert tasks == file_tasks(files[::-1])
    assert [len(task.files) for task in tasks if isinstance(task, FilesTask)] == [9, 9, 2]


def test_a_tasks_state_changes_with_its_files(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.py": PYTHON}) / "a.py"
    [task] = file_tasks([File(str(path), "a.py", ORIGIN)])
    before = task.state()
    path.write_text(PYTHON + "\n")
    assert task.state() != before
    path.unlink()
    assert task.state() == [None]


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    assert reading.printable("caf\udce9.py") == "caf�.py"
