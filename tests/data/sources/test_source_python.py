from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from source_helpers import PYTHON, read, write

from codegen25.data.sources import STDLIB, Installed, StandardLibrary, python
from codegen25.data.sources.task import File, FilesTask
from codegen25.errors import UserError


def site(folder: Path) -> Path:
    record = "good/a.py,,\ngood/data.json,,\n../../bin/tool.py,,\ngood/gone.py,,\n"
    metadata = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nLicense-Expression: MIT\n\n"
    return write(
        folder / "site-packages",
        {
            "good/a.py": PYTHON,
            "good/data.json": "{}",
            "Good_One-1.0.dist-info/METADATA": metadata.format("Good_One"),
            "Good_One-1.0.dist-info/RECORD": record,
            "codegen25-1.0.dist-info/METADATA": metadata.format("codegen25"),
            "codegen25-1.0.dist-info/RECORD": "good/a.py,,\n",
        },
    )


def test_installed_packages_by_their_records(tmp_path: Path) -> None:
    documents, count = read(Installed(str(site(tmp_path))), tmp_path)
    [document] = documents.values()
    assert (document.name, document.license) == ("good-one/good/a.py", "MIT")
    assert (document.text, document.language) == (PYTHON, "python")
    assert count.reasons == {"unreadable": 1}


def test_an_installer_may_have_linked_the_files(tmp_path: Path) -> None:
    folder = site(tmp_path)
    stored = write(tmp_path / "store", {"b.py": PYTHON}) / "b.py"
    (folder / "good/a.py").unlink()
    (folder / "good/a.py").symlink_to(stored)
    assert sorted(read(Installed(str(folder)), tmp_path)[0]) == ["good-one/good/a.py"]


def test_a_missing_site_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        Installed(str(tmp_path / "nowhere")).tasks(tmp_path)


def files_of(source: Installed | StandardLibrary, cache: Path) -> list[File]:
    return [
        file for task in source.tasks(cache) if isinstance(task, FilesTask) for file in task.files
    ]


def test_by_default_it_is_what_the_interpreter_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [metadata.distribution(name) for name in ("pytest", "pluggy", "codegen25", "pytest")]
    monkeypatch.setattr(python, "distributions", lambda: seen)
    files = files_of(Installed(), tmp_path)
    assert {file.origin.repo for file in files} == {"pytest", "pluggy"}
    assert Path(pytest.__file__) in [Path(file.path) for file in files]


def test_the_standard_library(tmp_path: Path) -> None:
    files = files_of(StandardLibrary(), tmp_path)
    by_name = {file.name: file for file in files}
    assert {"json/decoder.py", "argparse.py"} <= set(by_name)
    assert not any("site-packages" in file.path or "/test/" in file.path for file in files)
    assert {(file.origin.repo, file.origin.license) for file in files} == {(STDLIB, "PSF-2.0")}
    assert Path(by_name["argparse.py"].path).samefile(sys.modules["argparse"].__file__ or "")
