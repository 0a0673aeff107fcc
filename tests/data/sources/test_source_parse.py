from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from codegen25.data.sources import (
    KINDS,
    Archive,
    Columns,
    Debian,
    Folder,
    HuggingFace,
    Installed,
    Npm,
    Pip,
    StandardLibrary,
    Table,
    from_table,
    parse,
    table_of,
)
from codegen25.errors import UserError


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("stdlib", StandardLibrary()),
        ("installed", Installed()),
        ("installed:lib/site", Installed("lib/site")),
        ("pip:toolz", Pip(("toolz",))),
        ("pip:toolz==1.0", Pip(("toolz==1.0",))),
        ("npm:@types/node@20", Npm(("@types/node@20",))),
        ("debian:zlib1g-dev", Debian(("zlib1g-dev",))),
        ("hf:owner/name", HuggingFace("owner/name")),
        ("code", Folder("code")),
        ("./stdlib", Folder("./stdlib")),
        ("t.jsonl", Table("t.jsonl")),
        ("t.JSONL.GZ", Table("t.JSONL.GZ")),
        ("*.parquet", Table("*.parquet")),
        ("x.tar.gz", Archive("x.tar.gz")),
    ],
)
def test_words(word: str, source: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("code", "stdlib"):
        (tmp_path / folder).mkdir()
    for file in ("t.jsonl", "t.JSONL.GZ", "a.parquet", "x.tar.gz"):
        (tmp_path / file).touch()
    assert parse(word) == source


@pytest.mark.parametrize(
    "word", ["", "nowhere", "no.jsonl", "no.zip", "pip:", "gem:rails", "a.py", "*.jsonl", "hf:"]
)
def test_other_words_are_answered_with_the_forms(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").touch()
    with pytest.raises(UserError, match=r"pip:NAME.*npm:NAME.*debian:NAME.*hf:OWNER/NAME"):
        table_of(word)


@pytest.mark.parametrize(
    ("table", "source"),
    [
        ({"kind": "stdlib"}, StandardLibrary()),
        ({"kind": "pip", "names": ["a", "b==1"]}, Pip(("a", "b==1"))),
        ({"kind": "folder", "path": "x", "exclude": ["docs"]}, Folder("x", exclude=("docs",))),
        ({"kind": "table", "path": "t", "text": "body", "columns": {"path": "file"}},
         Table("t", "body", Columns(path="file"))),
        ({"kind": "huggingface", "name": "parquet", "files": ["a"]},
         HuggingFace("parquet", files=("a",))),
    ],
)  # fmt: skip
def test_tables(table: dict[str, Any], source: object) -> None:
    assert from_table(table) == source


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "kind is None"),
        ({"kind": "gem"}, "kind is 'gem'.*folder.*pip"),
        ({"kind": ["pip"]}, "kind is"),
        ({"kind": "pip", "names": ["a"], "nmaes": []}, "kind pip: unknown key nmaes"),
        ({"kind": "pip"}, "names must be given"),
        ({"kind": "pip", "names": "a"}, "names is 'a'"),
        ({"kind": "folder", "path": 3}, "path is 3"),
        ({"kind": "table", "path": "t", "columns": {"body": "x"}}, r"unknown key columns\.body"),
    ],
)
def test_mistakes_in_tables_are_named(table: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_table(table)


def test_every_kind_can_be_named_in_a_recipe() -> None:
    for kind, made in KINDS.items():
        required = [field.name for field in fields(made) if field.default is MISSING]
        given = {name: ["x"] if name == "names" else "x" for name in required if name != "columns"}
        assert isinstance(from_table({"kind": kind, **given}), made)
