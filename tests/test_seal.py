from __future__ import annotations

from pathlib import Path

import pytest

from codegen25 import seal as module
from codegen25.errors import UserError
from codegen25.seal import SUMS, fault, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"1234")
    (tmp_path / "deep/b").write_bytes(b"")
    seal(tmp_path)
    return tmp_path


def test_a_whole_folder_has_no_fault(folder: Path) -> None:
    assert fault(folder) == ""
    seal(folder)
    assert fault(folder) == ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a", b"1235", "a is damaged"),
        ("a", b"", "a is damaged"),
        ("deep/b", b"x", "deep/b is damaged"),
        ("a", None, "a is missing"),
        ("deep/b", None, "deep/b is missing"),
        (SUMS, None, f"{SUMS} is missing"),
        (SUMS, b"{", "is damaged"),
        (SUMS, b"[1]", "is damaged"),
    ],
)
def test_a_fault_is_named(folder: Path, name: str, content: bytes | None, said: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert said in fault(folder)


def test_a_file_that_cannot_be_read_is_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "file_sha256", refused)
    with pytest.raises(UserError, match=r"/a: cannot be read \(Permission denied\)"):
        fault(folder)
