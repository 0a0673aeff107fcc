from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_helpers import PYTHON, read, read_tasks

from codegen25.data.documents import Document
from codegen25.data.sources import Columns, Table, json_lines, streams
from codegen25.data.sources.rows import RowRule
from codegen25.errors import UserError

STARCODER = {
    "max_stars_repo_path": "src/a.py", "max_stars_repo_name": "o/n", "max_stars_count": 12.0,
    "id": "1", "content": PYTHON,
}  # fmt: skip


def judged(row: object, **fields: Any) -> Document | str:
    return RowRule(**fields).judge(row, "t#1")[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (STARCODER, Document(PYTHON, "src/a.py", "o/n", "", "python", 12)),
        ({**STARCODER, "max_stars_repo_licenses": ["MIT", "apache-2.0", "MIT"]},
         Document(PYTHON, "src/a.py", "o/n", "MIT AND Apache-2.0", "python", 12)),
        ({"code": PYTHON, "repo_name": "o/n", "path": "/a.py", "license": "mit", "lang": "Python"},
         Document(PYTHON, "a.py", "o/n", "MIT", "python")),
        ({"text": "x", "language": "C++", "stars": "10-100"},
         Document("x", "t#1", "t#1", "", "cpp", 10)),
        ({"content": "\ufeffx\r\n", "lang": "Jupyter Notebook", "stars": float("nan")},
         Document("x\n", "t#1", "t#1", "", "jupyter")),
        ({"content": "<reponame>o/n<filename>b.py<gh_stars>1-10\n" + PYTHON},
         Document(PYTHON, "b.py", "o/n", "", "python", 1)),
        ({**STARCODER, "content": "<gh_stars>0\n" + PYTHON, "max_stars_count": None},
         Document(PYTHON, "src/a.py", "o/n", "", "python", 0)),
        ({**STARCODER, "content": "<p>\n"}, Document("<p>\n", "src/a.py", "o/n", "", "python", 12)),
        ({**STARCODER, "content": "# SPDX-License-Identifier: ISC\n"},
         Document("# SPDX-License-Identifier: ISC\n", "src/a.py", "o/n", "ISC", "python", 12)),
    ],
)  # fmt: skip
def test_rows(row: object, expected: Document) -> None:
    assert judged(row) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["content"], "not JSON"),
        (None, "not JSON"),
        ({}, "no text"),
        ({"content": ""}, "no text"),
        ({"content": 3}, "no text"),
        ({"content": "x"}, "unknown language"),
        ({"content": "x", "path": "a.xyz", "lang": "Klingon"}, "unknown language"),
        ({"content": "x\0", "path": "a.py"}, "binary"),
        ({"content": "x\ud800", "path": "a.py"}, "not UTF-8"),
        ({"content": "x" * 101, "path": "a.py"}, "larger than 100 bytes"),
    ],
)
def test_rows_that_are_dropped(row: object, reason: str) -> None:
    assert judged(row, max_bytes=100) == reason


def test_columns_and_values_of_the_users_own() -> None:
    row = {"body": "x", "file": "a.js", "n": 7, "content": "no", "path": "no"}
    rule: dict[str, Any] = {"text": "body", "columns": Columns(path="file", stars="n")}
    rest = {"repo": "mine", "license": "MIT", "language": "python"}
    assert judged(row, **rule, **rest) == Document("x", "a.js", "mine", "MIT", "javascript", 7)
    assert judged({"body": "x"}, **rule, **rest) == Document("x", "t#1", "mine", "MIT", "python")
    assert judged({"content": "x"}, **rule) == "no text"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(sorted(RowRule().all_names()))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, json_values, max_size=6))
def test_no_row_raises_and_what_comes_out_can_be_written(row: dict[str, Any]) -> None:
    result, size, name = RowRule(language="python").judge(row, "t#1")
    name.encode()
    assert size >= 0
    if isinstance(result, Document):
        assert result.path and result.repo
        json.dumps([result.name, result.license, result.stars]).encode()


def lines(rows: list[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def rows(number: int) -> list[object]:
    return [
        {"content": f"x = {i}\n" * (i % 7 + 1), "path": f"{i}.py", "repo": "r"}
        for i in range(number)
    ]


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(
        lines(rows(2))
        + b"\n{]\n[1]\n{}\n\xff\n"
        + b"[" * 100_000
        + b'\n{"content": "y", "path": "y.py"}'
    )
    documents, count = read(Table(str(path)), tmp_path)
    last = next(document for document in documents.values() if document.path == "y.py")
    assert [*sorted(documents)[:2], last.text] == ["r/0.py", "r/1.py", "y"]
    assert last.repo == f"t.jsonl#{path.read_bytes().rindex(b'{')}"
    assert count.reasons == {"not JSON": 3, "no text": 1, "not UTF-8": 1}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=30)),
    st.integers(1, 50),
    st.booleans(),
)
def test_each_line_belongs_to_one_part(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], parts: int, ends: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "t.jsonl"
    path.write_bytes("\n".join(texts).encode() + (b"\n" if ends else b""))
    found = [
        line
        for part in range(parts)
        for line in json_lines.LinesTask(str(path), part, parts, False, RowRule())._plain_lines()
    ]
    assert b"".join(line or b"" for _, line in found) == path.read_bytes()
    places = [place for place, _ in found]
    assert places == sorted(set(places))


def pack(path: Path, raw: bytes) -> Path:
    if path.suffix == ".zst":
        raw = pytest.importorskip("zstandard").ZstdCompressor().compress(raw)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.jsonl.zst"])
def test_the_parts_of_a_file_are_the_whole(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / name, lines(rows(300)))
    whole, count = read(Table(str(path)), tmp_path)
    assert len(whole) == 300 and not count.reasons
    monkeypatch.setattr(json_lines, "TASK_BYTES", 2000)
    monkeypatch.setattr(json_lines, "BLOCK", 16)
    assert len(Table(str(path)).tasks(tmp_path)) > 2
    pieces, again = read(Table(str(path)), tmp_path)
    assert pieces == whole and again == count


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.jsonl.zst"])
def test_a_packed_file_cut_short_gives_what_is_there(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(0)
    table: list[object] = [
        {"content": noise.randbytes(2000).hex(), "path": f"{number}.py"} for number in range(200)
    ]
    path = pack(tmp_path / name, lines(table))
    monkeypatch.setattr(json_lines, "TASK_BYTES", 2000)
    monkeypatch.setattr(json_lines, "BLOCK", 16)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    documents, count = read(Table(str(path)), tmp_path)
    assert len(documents) > 40
    assert sorted(document.path for document in documents.values()) == sorted(
        f"{number}.py" for number in range(len(documents))
    )
    assert count.reasons == {"truncated file": 1}


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.jsonl.zst"])
def test_a_packed_file_that_is_broken_is_counted(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / name, lines(rows(500)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 40] = b"\xff" * 40
    path.write_bytes(raw)
    reasons = read(Table(str(path)), tmp_path)[1].reasons
    assert reasons["corrupt file"] == 1


def test_frames_of_zstandard_after_one_another(tmp_path: Path) -> None:
    compress = pytest.importorskip("zstandard").ZstdCompressor().compress
    path = tmp_path / "x.zst"
    path.write_bytes(compress(b"a" * 100_000) + compress(b"") + compress(b"b"))
    with streams.opened(path) as stream:
        assert stream.read() == b"a" * 100_000 + b"b"


def test_a_line_too_large_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "HUGE", 1000)
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"x" * 5000 + b"\n" + lines(rows(1)))
    documents, count = read(Table(str(path)), tmp_path)
    assert sorted(documents) == ["r/0.py"] and count.reasons.total() == 1


def test_a_folder_or_a_pattern_of_tables(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jsonl", "in/b.jsonl", "c.txt"):
        (tmp_path / name).write_bytes(lines([{"content": "x", "path": name + ".py", "repo": "r"}]))
    assert len(read(Table(str(tmp_path)), tmp_path)[0]) == 2
    assert sorted(read(Table(str(tmp_path / "*.jsonl")), tmp_path)[0]) == ["r/a.jsonl.py"]
    for missing in ("no.jsonl", "*.parquet"):
        with pytest.raises(UserError, match="no such table"):
            Table(str(tmp_path / missing)).tasks(tmp_path)


def test_a_library_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"no_such_library is not installed.*codegen25\[data\]"):
        streams.optional("no_such_library.part")


# ------------------------------------------------------------------------------------ parquet


def parquet(path: Path, columns: dict[str, Any], group: int = 2) -> Path:
    arrow = pytest.importorskip("pyarrow")
    library = pytest.importorskip("pyarrow.parquet")
    library.write_table(
        arrow.table(columns), path, row_group_size=group, compression="none",
        write_page_checksum=True, use_dictionary=False, write_statistics=False,
    )  # fmt: skip
    return path


def stack(path: Path) -> Path:
    return parquet(
        path,
        {
            "content": [f"x = {number}\n" * 20 for number in range(5)],
            "max_stars_repo_path": [f"{number}.py" for number in range(5)],
            "max_stars_repo_name": ["o/n"] * 5,
            "max_stars_count": [1.0, None, 3.0, 4.0, 5.0],
            "max_stars_repo_licenses": [["MIT"], ["MIT", "ISC"], [], None, ["GPL-3.0"]],
            "avg_line_length": [5.0] * 5,
        },
    )


def test_a_parquet_file(tmp_path: Path) -> None:
    path = stack(tmp_path / "t.parquet")
    assert len(Table(str(path)).tasks(tmp_path)) == 3
    documents, count = read(Table(str(path)), tmp_path)
    assert [(d.name, d.license, d.stars) for _, d in sorted(documents.items())] == [
        ("o/n/0.py", "MIT", 1), ("o/n/1.py", "MIT AND ISC", None), ("o/n/2.py", "", 3),
        ("o/n/3.py", "", 4), ("o/n/4.py", "GPL-3.0", 5),
    ]  # fmt: skip
    assert documents["o/n/0.py"].text == "x = 0\n" * 20
    assert not count.reasons


def test_a_broken_row_group_leaves_the_others(tmp_path: Path) -> None:
    path = stack(tmp_path / "t.parquet")
    raw = path.read_bytes()
    assert raw.count(b"x = 2\n" * 20) == 1
    path.write_bytes(raw.replace(b"x = 2\n" * 20, b"y = 2\n" * 20))
    documents, count = read(Table(str(path)), tmp_path)
    assert sorted(documents) == ["o/n/0.py", "o/n/1.py", "o/n/4.py"]
    assert count.reasons == {"corrupt file": 1}


@pytest.mark.parametrize("size", [0, 3, 500])
def test_a_broken_parquet_file_leaves_the_others(tmp_path: Path, size: int) -> None:
    stack(tmp_path / "good.parquet")
    broken = stack(tmp_path / "bad.parquet")
    broken.write_bytes(broken.read_bytes()[:size])
    documents, count = read(Table(str(tmp_path)), tmp_path)
    assert len(documents) == 5 and count.reasons == {"corrupt file": 1}


def test_text_in_a_parquet_file_that_is_no_utf8_is_one_row_only(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    text = arrow.array([b"x = 1\n", b"\xff\n", b"x = 3\n"]).view(arrow.string())
    path = parquet(tmp_path / "t.parquet", {"content": text, "path": ["1.py", "2.py", "3.py"]}, 3)
    documents, count = read(Table(str(path)), tmp_path)
    assert sorted(document.path for document in documents.values()) == ["1.py", "3.py"]
    assert count.reasons == {"not UTF-8": 1}


def test_a_parquet_file_without_the_column_is_the_users_mistake(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"body": ["x"], "path": ["a.py"]})
    with pytest.raises(UserError, match=r"no column content.* body, path"):
        Table(str(path)).tasks(tmp_path)
    assert len(read_tasks(Table(str(path), text="body").tasks(tmp_path))[0]) == 1
