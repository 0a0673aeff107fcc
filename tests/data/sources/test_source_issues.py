from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from codegen25.data import pipeline
from codegen25.data.engines import Local
from codegen25.data.recipe import DataRecipe
from codegen25.data.sources import json_lines
from codegen25.data.sources.streams import opened

BODY = "The parser fails on nested brackets; here is what I tried and what came out of it. " * 4


def row(**fields: object) -> dict[str, object]:
    comment = {"body": "It is the grammar. " * 8, "user": {"login": "bob"}}
    return {
        "title": "It fails", "body": BODY, "user": {"login": "ann"}, "comments": [comment],
        "number": 7, "repo": "a/b", "license": "MIT", **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "\ud800"},
        {"number": "x" * 10_000},
        {"number": "a\nb"},
        {"number": {"no": 1}},
        {"repo": "\ud800/b"},
        {"license": "\ud800"},
        {"number": None},
    ],
)
def test_a_strange_row_stops_nothing(tmp_path: Path, fields: dict[str, object]) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (row(**fields), row())))
    table = {"kind": "issues", "path": str(path)}
    made = pipeline.build(
        DataRecipe((table,), licenses="any", heldout=0.0), tmp_path / "c", Local(1)
    )
    assert made["splits"]["train"]["documents"] >= 1
    assert (tmp_path / "c/report.md").read_text(encoding="utf-8")


def test_a_line_too_long_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "HUGE", 5000)
    path = tmp_path / "issues.jsonl.gz"
    path.write_bytes(gzip.compress(b"1" * 20_000 + b"\n" + json.dumps(row()).encode() + b"\n"))
    made = pipeline.build(
        DataRecipe(({"kind": "issues", "path": str(path)},), licenses="any", heldout=0.0),
        tmp_path / "c", Local(1),
    )  # fmt: skip
    assert made["splits"]["train"]["documents"] == 1
    assert made["steps"]["read"]["reasons"] == {json_lines.TOO_LONG: 1}


def test_a_bomb_of_zstandard_is_read_through(tmp_path: Path) -> None:
    library = pytest.importorskip("zstandard")
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(library.ZstdCompressor().compress(b"a" * 60_000_000 + b"\nend\n"))
    size = last = 0
    with opened(path) as stream:
        for line in iter(lambda: stream.readline(1 << 20), b""):
            size += len(line)
            last = line
    assert size == 60_000_005 and last == b"end\n"
