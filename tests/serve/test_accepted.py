from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.serve import accepted
from codegen25.serve.accepted import Accepted, Shown, erase, listed, write
from conftest import Run

SHOWN = Shown("a = ", "1\nb = 2\n", "\n", "python")


def test_nothing_is_kept_unless_asked(tmp_path: Path) -> None:
    kept = Accepted(tmp_path / "deep", keep=False)
    kept.show("x", SHOWN)
    assert not kept.select("x") and not (tmp_path / "deep").exists()
    assert list(listed(tmp_path)) == [] and erase(tmp_path) == 0


def test_what_was_accepted_is_listed_and_erased(tmp_path: Path) -> None:
    kept = Accepted(tmp_path / "deep", keep=True)
    for name in ("x", "y", "z"):
        kept.show(name, SHOWN)
    assert kept.select("x") and not kept.select("x") and not kept.select("unknown")
    kept.dismiss("y")
    assert not kept.select("y")
    [row] = listed(tmp_path / "deep")
    assert (row["prefix"], row["middle"], row["suffix"]) == ("a = ", "1\nb = 2\n", "\n")
    assert row["language"] == "python" and row["time"].endswith("+00:00")
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert erase(tmp_path / "deep") == 1 and not kept.path.exists()


def test_of_a_huge_file_what_is_near_is_kept(tmp_path: Path) -> None:
    kept = Accepted(tmp_path, keep=True)
    kept.show("x", Shown("a" * 10**6 + "b", "c", "d" + "e" * 10**6, "python"))
    assert kept.select("x")
    [row] = listed(tmp_path)
    assert row["prefix"].endswith("ab") and row["suffix"].startswith("de")
    assert len(row["prefix"]) == len(row["suffix"]) == accepted.REACH


def test_a_line_at_a_time(tmp_path: Path) -> None:
    kept = Accepted(tmp_path, keep=True)
    kept.show("x", SHOWN)
    assert kept.select("x", line=True) and kept.select("x")
    assert [(row["prefix"], row["middle"]) for row in listed(tmp_path)] == [
        ("a = ", "1"), ("a = 1", "\nb = 2\n"),
    ]  # fmt: skip
    kept.show("z", Shown("", "one\ntwo\nthree", "", "python"))
    assert [kept.select("z", line=True) for _ in range(4)] == [True, True, True, False]
    rows = [row["middle"] for row in listed(tmp_path)]
    assert rows[-3:] == ["one", "\ntwo", "\nthree"]
    assert write(tmp_path, tmp_path / "out") == len(rows)
    assert (tmp_path / "out" / f"accepted-{len(rows):05}.py").read_text() == "one\ntwo\nthree"


def test_memory_and_file_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Accepted(tmp_path, keep=True)
    for i in range(accepted.REMEMBERED + 1):
        kept.show(str(i), SHOWN)
    assert not kept.select("0") and kept.select("1")
    monkeypatch.setattr(accepted, "MOST_BYTES", kept.path.stat().st_size)
    assert not kept.select("2") and len(list(listed(tmp_path))) == 1


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "accepted.jsonl").symlink_to(tmp_path / "elsewhere")
    kept = Accepted(tmp_path, keep=True)
    kept.show("x", SHOWN)
    assert not kept.select("x") and not (tmp_path / "elsewhere").exists()


def test_a_damaged_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "accepted.jsonl").write_text("{}\n[\n")
    with pytest.raises(UserError, match="erase"):
        list(listed(tmp_path))
    (tmp_path / "accepted.jsonl").write_text('{"middle": 1}\n{"cut sh')
    assert list(listed(tmp_path)) == [{"middle": 1}]


def test_the_command_lists_writes_and_erases(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    assert run("accepted") == (0, "", "")
    kept = Accepted(tmp_path, keep=True)
    for name in ("x", "y"):
        kept.show(name, SHOWN)
        assert kept.select(name)
    code, out, _ = run("accepted")
    assert code == 0 and [json.loads(line)["middle"] for line in out.splitlines()] == [
        SHOWN.text, SHOWN.text
    ]  # fmt: skip
    code, out, _ = run("accepted", "--files", tmp_path / "out")
    assert code == 0 and out.startswith("2 files")
    written = sorted((tmp_path / "out").iterdir())
    assert [each.name for each in written] == ["accepted-00001.py", "accepted-00002.py"]
    assert written[0].read_text() == SHOWN.prefix + SHOWN.text + SHOWN.suffix
    assert run("accepted", "--erase")[:2] == (0, "2 erased\n")
    assert run("accepted") == (0, "", "") and run("accepted", "--erase")[1] == "0 erased\n"
    (tmp_path / "accepted.jsonl").write_text("[\n")
    code, _, err = run("accepted")
    assert code == 2 and "erase" in err
