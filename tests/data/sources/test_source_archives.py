from __future__ import annotations

import gzip
import io
import random
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_helpers import PYTHON, read, write
from test_source_license_text import MIT

from codegen25.data.sources import Archive, members, task
from codegen25.data.sources.archives import ENDINGS, stem
from codegen25.data.sources.members import CORRUPT, OUTSIDE, TOO_LARGE, is_outside
from codegen25.errors import UserError

FILES: dict[str, str | bytes] = {
    "top-1.0/a.py": PYTHON,
    "top-1.0/lib/b.js": "let x = 1;\r\n",
    "top-1.0/LICENSE": MIT,
    "top-1.0/.git/hooks/c.py": PYTHON,
    "top-1.0/image.png": b"\x89PNG\0",
}


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def make_zip(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, str | bytes], *links: tarfile.TarInfo) -> Path:
    kind = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, kind) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(as_bytes(content))
            archive.addfile(info, io.BytesIO(as_bytes(content)))
        for link in links:
            archive.addfile(link)
    return path


def make(path: Path, files: dict[str, str | bytes]) -> Path:
    return (make_zip if path.suffix in (".zip", ".whl") else make_tar)(path, files)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_every_kind_gives_the_same(tmp_path: Path, ending: str) -> None:
    path = make(tmp_path / f"pkg{ending}", FILES)
    documents, count = read(Archive(str(path)), tmp_path)
    assert {name: (d.text, d.license) for name, d in documents.items()} == {
        "pkg/a.py": (PYTHON, "MIT"),
        "pkg/lib/b.js": ("let x = 1;\n", "MIT"),
    }
    assert count.reasons == {"unknown language": 1}


def test_a_tar_packed_with_zstandard(tmp_path: Path) -> None:
    library = pytest.importorskip("zstandard")
    plain = make_tar(tmp_path / "x.tar", FILES).read_bytes()
    path = tmp_path / "x.tar.zst"
    path.write_bytes(library.ZstdCompressor().compress(plain))
    assert sorted(read(Archive(str(path)), tmp_path)[0]) == ["x/a.py", "x/lib/b.js"]
    path.write_bytes(path.read_bytes()[:-20])
    assert CORRUPT in read(Archive(str(path)), tmp_path)[1].reasons


def test_a_debian_package(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    root = write(
        tmp_path / "root",
        {
            "usr/include/x.h": "int twice(int x);\n",
            "DEBIAN/control": "Package: libx-dev\nVersion: 1\nArchitecture: all\nMaintainer: A\n"
            "Description: x\n",
        },
    )
    path = tmp_path / "libx-dev_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(root), str(path)], check=True, capture_output=True)
    documents, count = read(Archive(str(path)), tmp_path)
    assert [(d.name, d.language) for d in documents.values()] == [
        ("libx-dev_1_all/usr/include/x.h", "c")
    ]
    assert not count.reasons
    path.write_bytes(path.read_bytes()[:100])
    assert read(Archive(str(path)), tmp_path)[1].reasons == {CORRUPT: 1}


def test_a_debian_package_needs_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "x.deb").write_bytes(b"!<arch>\ndebian-binary")
    with pytest.raises(UserError, match="dpkg-deb"):
        Archive(str(tmp_path / "x.deb")).tasks(tmp_path)


def test_names_given_by_the_user(tmp_path: Path) -> None:
    path = make(tmp_path / "pkg.zip", FILES)
    documents, _ = read(Archive(str(path), repo="mine", license="ISC"), tmp_path)
    assert {(d.repo, d.license) for d in documents.values()} == {("mine", "ISC")}


def test_without_a_common_top_folder_names_stay(tmp_path: Path) -> None:
    path = make(tmp_path / "pkg.zip", {"x/a.py": PYTHON, "y/b.py": PYTHON})
    assert sorted(read(Archive(str(path)), tmp_path)[0]) == ["pkg/x/a.py", "pkg/y/b.py"]


EVIL = ("../up.py", "/etc/abs.py", "x/../../up.py", "C:\\win.py", "..\\up.py", "C:/win.py")


@pytest.mark.parametrize("name", EVIL)
def test_names_outside(name: str) -> None:
    assert is_outside(name)
    assert not is_outside("a/..b/c.py") and not is_outside("a.py")


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, ending: str) -> None:
    files: dict[str, str | bytes] = {"a.py": PYTHON, **dict.fromkeys(EVIL, PYTHON)}
    documents, count = read(Archive(str(make(tmp_path / f"pkg{ending}", files))), tmp_path)
    assert sorted(documents) == ["pkg/a.py"]
    assert count.reasons == {OUTSIDE: len(EVIL)}


def test_links_are_refused(tmp_path: Path) -> None:
    links = link("c.py", "/etc/passwd"), link("d.py", "a.py", tarfile.LNKTYPE)
    path = make_tar(tmp_path / "pkg.tar", {"a.py": PYTHON}, *links)
    documents, count = read(Archive(str(path)), tmp_path)
    assert sorted(documents) == ["pkg/a.py"]
    assert count.reasons == {"symbolic link": 1, "hard link": 1}
    with zipfile.ZipFile(tmp_path / "pkg.zip", "w") as archive:
        info = zipfile.ZipInfo("c.py")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert read(Archive(str(tmp_path / "pkg.zip")), tmp_path)[1].reasons == {"symbolic link": 1}


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_bomb_is_stopped(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SMALL", 500_000)
    bomb = {f"{number}.py": b"#" * 100_000 for number in range(20)}
    path = make(tmp_path / f"pkg{ending}", {"a.py": PYTHON, **bomb})
    documents, count = read(Archive(str(path)), tmp_path)
    assert "pkg/a.py" in documents and len(documents) < 12
    assert count.reasons[TOO_LARGE] == 1


def test_the_total_is_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_UNPACKED", 250_000)
    noise = random.Random(0)
    files: dict[str, str | bytes] = {
        f"{number}.py": noise.randbytes(50_000).hex() for number in range(5)
    }
    for ending in (".zip", ".tar"):
        documents, count = read(Archive(str(make(tmp_path / f"pkg{ending}", files))), tmp_path)
        assert sorted(documents) == ["pkg/0.py", "pkg/1.py"]
        assert count.reasons == {TOO_LARGE: 1}


def test_what_a_zip_does_not_unpack_is_no_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "SMALL", 500_000)
    path = make_zip(tmp_path / "p.zip", {"weights.bin": b"\0" * 3_000_000, "a.py": PYTHON})
    documents, count = read(Archive(str(path)), tmp_path)
    assert sorted(documents) == ["p/a.py"] and not count.reasons


def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    path = make_tar(tmp_path / "pkg.tar", {"a.py": PYTHON})
    head = path.read_bytes()[:1024]
    path.write_bytes(head + info.tobuf() + b"\0" * 2048)
    documents, count = read(Archive(str(path)), tmp_path)
    assert sorted(documents) == ["pkg/a.py"] and count.reasons == {CORRUPT: 1}


def cut_gzip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def cut_tar_in_a_file(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[: 512 * 3 + 700]))


def cut_tar_in_a_header(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[: 512 * 2 + 100]))


def cut_tar_between_files(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[: 512 * 2]))


def overwrite_a_header(path: Path) -> None:
    plain = bytearray(gzip.decompress(path.read_bytes()))
    plain[512 * 2 : 512 * 3] = b"\xff" * 512
    path.write_bytes(gzip.compress(bytes(plain)))


@pytest.mark.parametrize(
    "damage",
    [cut_gzip, cut_tar_in_a_file, cut_tar_in_a_header, cut_tar_between_files, overwrite_a_header],
)
def test_a_broken_tar_gives_what_came_before(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    noise = random.Random(0).randbytes(4000).hex()
    path = make_tar(tmp_path / "pkg.tar.gz", {"a.py": PYTHON, "b.py": noise})
    damage(path)
    documents, count = read(Archive(str(path)), tmp_path)
    assert sorted(documents) == ["pkg/a.py"]
    assert count.reasons == {CORRUPT: 1}


def test_a_broken_member_of_a_zip_is_one_only(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "pkg.zip", {"a.py": PYTHON * 9, "b.py": PYTHON})
    raw = bytearray(path.read_bytes())
    raw[40] ^= 0xFF
    path.write_bytes(raw)
    documents, count = read(Archive(str(path)), tmp_path)
    assert sorted(documents) == ["pkg/b.py"] and count.reasons == {CORRUPT: 1}


def test_an_encrypted_zip_is_counted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "pkg.zip", {"a.py": PYTHON})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert read(Archive(str(path)), tmp_path)[1].reasons == {"encrypted": 1}


@pytest.mark.parametrize("name", ["pkg.zip", "pkg.tar.gz", "pkg.tar"])
@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 no zip", b"\x1f\x8bno", b"<html>"])
def test_what_is_no_archive_is_counted(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(Archive(str(tmp_path / name)), tmp_path)[1].reasons == {CORRUPT: 1}


def test_a_missing_archive_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.zip"):
        Archive(str(tmp_path / "x.zip")).tasks(tmp_path)


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_pieces_together_are_the_whole(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, str | bytes] = {f"{number}.py": PYTHON * number for number in range(60)}
    files |= {"../x.py": "", "big.py": b"#" * 5000, "z.bin": b"\0"}
    source = Archive(str(make(tmp_path / f"pkg{ending}", files)), max_bytes=4000)
    whole, count = read(source, tmp_path)
    monkeypatch.setattr("codegen25.data.sources.archives.TASK_BYTES", 5000)
    tasks = source.tasks(tmp_path)
    assert len(tasks) == (8 if ending == ".tar.gz" else 10)
    pieces, again = read(source, tmp_path)
    assert pieces == whole and again == count
    assert count.reasons == {OUTSIDE: 1, "larger than 4 kB": 1}


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_damage_anywhere_never_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = make(folder / f"pkg{data.draw(st.sampled_from(['.zip', '.tar', '.tar.gz']))}", FILES)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    read(Archive(str(path)), folder)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_name_without_endings(ending: str) -> None:
    assert stem("toolz-1.0" + ending) == "toolz-1.0"


def test_the_size_of_a_task_is_eight_megabytes() -> None:
    assert task.TASK_BYTES == 8_000_000
