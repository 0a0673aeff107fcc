"""Packages are fetched here by stand-ins for pip, npm and apt: scripts that copy a file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from source_helpers import PYTHON, read
from test_source_archives import make
from test_source_license_text import MIT

from codegen25.data.sources import Debian, Npm, Pip
from codegen25.data.sources.fetch import complaint, fetched
from codegen25.errors import UserError

METADATA = "Metadata-Version: 2.1\nName: good\nLicense-Expression: BSD-3-Clause\n\n"


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program `name` in `folder` that runs a shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def copying(path: Path) -> str:
    return f'cp {path} . ; echo "$@" >> {path.parent}/log'


def test_a_wheel(tmp_path: Path, programs: Path) -> None:
    files: dict[str, str | bytes] = {"good/a.py": PYTHON, "good-1.0.dist-info/METADATA": METADATA}
    stand_in(programs, "python", copying(make(tmp_path / "good-1.0-py3-none-any.whl", files)))
    documents, count = read(Pip(("Good==1.0",)), tmp_path / "cache")
    assert [(d.name, d.license) for d in documents.values()] == [("good/good/a.py", "BSD-3-Clause")]
    assert not count.reasons
    assert (tmp_path / "cache/pip/Good==1.0/good-1.0-py3-none-any.whl").is_file()


def test_a_source_distribution_without_metadata_has_its_texts(
    tmp_path: Path, programs: Path
) -> None:
    files: dict[str, str | bytes] = {"good-1.0/a.py": PYTHON, "good-1.0/LICENSE": MIT}
    stand_in(programs, "python", copying(make(tmp_path / "good-1.0.tar.gz", files)))
    documents, _ = read(Pip(("good",)), tmp_path / "cache")
    assert [(d.name, d.license) for d in documents.values()] == [("good/a.py", "MIT")]


def test_an_npm_package(tmp_path: Path, programs: Path) -> None:
    files: dict[str, str | bytes] = {
        "package/index.ts": "let x: number = 1;\n",
        "package/package.json": '{"license": "Apache 2.0"}',
    }
    stand_in(programs, "npm", copying(make(tmp_path / "good-1.0.tgz", files)))
    documents, _ = read(Npm(("@me/good@1.0",)), tmp_path / "cache")
    assert {(d.name, d.license) for d in documents.values()} == {
        ("@me/good/index.ts", "Apache-2.0"), ("@me/good/package.json", "Apache-2.0"),
    }  # fmt: skip


def test_a_debian_package(tmp_path: Path, programs: Path) -> None:
    files: dict[str, str | bytes] = {
        "./usr/include/x.h": "int twice(int x);\n",
        "./usr/share/doc/libx-dev/copyright": "Format: x\n\nFiles: *\nLicense: Zlib\n",
    }
    tar = make(tmp_path / "content.tar", files)
    (tmp_path / "libx-dev_1_all.deb").write_bytes(b"!<arch>\n")
    stand_in(programs, "apt-get", copying(tmp_path / "libx-dev_1_all.deb"))
    stand_in(programs, "dpkg-deb", f"cat {tar}")
    documents, count = read(Debian(("libx-dev",)), tmp_path / "cache")
    assert [(d.name, d.license, d.language) for d in documents.values()] == [
        ("libx-dev/usr/include/x.h", "Zlib", "c")
    ]
    assert count.reasons == {"unknown language": 1}


def test_a_package_is_fetched_once_and_never_by_halves(tmp_path: Path, programs: Path) -> None:
    cache = tmp_path / "cache"
    stand_in(programs, "npm", "echo half > half.tgz; echo broken >&2; exit 1")
    with pytest.raises(UserError, match="npm:good: broken"):
        Npm(("good",)).tasks(cache)
    assert list((cache / "npm").iterdir()) == []
    stand_in(programs, "npm", copying(make(tmp_path / "good-1.0.tgz", {"p/a.js": "let x = 1"})))
    first = Npm(("good",)).tasks(cache)
    assert Npm(("good",)).tasks(cache) == first
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_of_two_that_fetch_at_once_the_first_wins(tmp_path: Path, programs: Path) -> None:
    cache = tmp_path / "cache"
    other = cache / "npm/good"
    stand_in(
        programs, "npm", f"mkdir -p {other}; echo 1 > {other}/good-1.0.tgz; echo 2 > good-1.0.tgz"
    )
    path = fetched(cache, "npm", "good", ["npm"])
    assert path.read_text() == "1\n"
    assert [each.name for each in (cache / "npm").iterdir()] == ["good"]


def test_no_file_or_two_are_refused(tmp_path: Path, programs: Path) -> None:
    for script in ("true", "touch a b"):
        stand_in(programs, "npm", script)
        with pytest.raises(UserError, match=r"npm:good: . files were fetched"):
            Npm(("good",)).tasks(tmp_path / "cache")


@pytest.mark.parametrize(("source", "program"), [(Npm(("x",)), "npm"), (Debian(("x",)), "apt-get")])
def test_a_missing_program_is_named(
    tmp_path: Path, source: Npm | Debian, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=f"the program {program} cannot be run"):
        source.tasks(tmp_path / "cache")


@pytest.mark.parametrize(
    "source",
    [
        Pip(("--index-url=x",)), Pip(("./folder",)), Pip(("https://example.org/x.whl",)),
        Pip(("a b",)), Pip(("",)), Npm(("-g",)), Npm(("owner/name",)), Npm(("../x",)),
        Npm(("x@file:y",)), Debian(("-o",)), Debian(("Name",)), Debian(("a/b",)),
    ],
)  # fmt: skip
def test_what_is_no_name_reaches_no_program(
    tmp_path: Path, programs: Path, source: Pip | Npm | Debian
) -> None:
    for name in ("python", "npm", "apt-get"):
        stand_in(programs, name, f"touch {tmp_path}/ran")
    with pytest.raises(UserError, match="is no package name"):
        source.tasks(tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("WARNING: x\nERROR: No matching distribution found for y\n\n",
         "ERROR: No matching distribution found for y"),
        ("npm warn x\nnpm error code E404\nnpm error 404 Not Found - y\nnpm error 404\n"
         "npm error A complete log of this run can be found in: z\n",
         "npm error 404 Not Found - y"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_program_complains_of(output: str, said: str) -> None:
    assert complaint(output) == said
