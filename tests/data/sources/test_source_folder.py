from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from source_helpers import PYTHON, read, write
from test_source_license_text import BSD2, MIT

from codegen25.data.sources import Folder, git
from codegen25.errors import UserError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)


def run_git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def checkout(folder: Path, files: dict[str, str | bytes], remote: str = "") -> Path:
    write(folder, files)
    run_git(folder, "init", "-q")
    if remote:
        run_git(folder, "remote", "add", "origin", remote)
    return folder


@pytest.fixture(params=["git", "no git"])
def with_and_without_git(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no git":
        monkeypatch.setenv("PATH", "")
    elif shutil.which("git") is None:
        pytest.skip("git is not installed")
    return str(request.param)


def test_a_plain_folder(tmp_path: Path, with_and_without_git: str) -> None:
    folder = write(
        tmp_path / "mine",
        {
            "a.py": PYTHON,
            "lib/b.js": "let x = 1;\n",
            "data.bin": b"\0\1",
            ".hidden/c.py": PYTHON,
            "node_modules/x/d.js": "let y = 1;\n",
            "env/pyvenv.cfg": "home = /usr\n",
            "env/lib/e.py": PYTHON,
            "run": "#!/bin/sh\necho hello\n",
        },
    )
    documents, count = read(Folder(str(folder)), tmp_path)
    assert {name: d.language for name, d in documents.items()} == {
        "mine/a.py": "python",
        "mine/lib/b.js": "javascript",
        "mine/run": "shell",
    }
    assert not count.reasons


def test_links_are_counted_and_loops_end(tmp_path: Path, with_and_without_git: str) -> None:
    folder = write(tmp_path / "mine", {"a.py": PYTHON, "sub/b.py": PYTHON})
    (folder / "sub/loop").symlink_to(folder)
    (folder / "c.py").symlink_to("a.py")
    (folder / "away").symlink_to(tmp_path)
    documents, count = read(Folder(str(folder)), tmp_path)
    assert sorted(documents) == ["mine/a.py", "mine/sub/b.py"]
    assert count.reasons == {"symbolic link": 3}


@needs_git
def test_gitignore_counts_in_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine",
        {".gitignore": "/build/\n", "build/a.py": PYTHON, "b.py": PYTHON,
         "sub/.gitignore": "c.py\n", "sub/c.py": PYTHON, "sub/d.py": PYTHON},
    )  # fmt: skip
    documents, _ = read(Folder(str(folder)), tmp_path)
    assert sorted(documents) == ["mine/b.py", "mine/sub/d.py"]
    assert not (folder / ".git").exists()


def test_without_git_a_note_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    folder = write(tmp_path / "mine", {".gitignore": "a.py\n", "a.py": PYTHON})
    documents, _ = read(Folder(str(folder)), tmp_path)
    assert sorted(documents) == ["mine/a.py"]
    [note] = capsys.readouterr().err.splitlines()
    assert ".gitignore" in note and "git is not installed" in note


@needs_git
def test_a_checkout_gives_tracked_and_new_files_but_no_ignored_ones(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "tracked.py": PYTHON, "forced.py": PYTHON, "gone.py": PYTHON, "new.py": PYTHON,
        ".gitignore": "forced.py\nout/\n", "out/x.py": PYTHON,
    }  # fmt: skip
    folder = checkout(tmp_path / "mine", files)
    run_git(folder, "add", "-f", "tracked.py", "forced.py", "gone.py")
    (folder / "gone.py").unlink()
    documents, count = read(Folder(str(folder)), tmp_path)
    assert sorted(documents) == ["mine/forced.py", "mine/new.py", "mine/tracked.py"]
    assert not count.reasons


@needs_git
def test_a_tracked_folder_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "mine", {"sub/a.py": PYTHON, "b.py": PYTHON})
    run_git(folder, "add", ".")
    outside = write(tmp_path / "outside", {"a.py": "secret = 1\n"})
    shutil.rmtree(folder / "sub")
    (folder / "sub").symlink_to(outside)
    documents, count = read(Folder(str(folder)), tmp_path)
    assert sorted(documents) == ["mine/b.py"]
    assert count.reasons == {"symbolic link": 1}


@needs_git
@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://example.org/owner/name.git", "owner/name"),
        ("https://user:secret@example.org/owner/name", "owner/name"),
        ("git@example.org:owner/name.git", "owner/name"),
        ("ssh://git@example.org:22/group/sub/name.git/", "sub/name"),
        ("/srv/git/name.git", "mine"),
        ("../owner/name", "mine"),
        ("", "mine"),
    ],
)
def test_the_remote_names_the_repository(tmp_path: Path, remote: str, name: str) -> None:
    folder = checkout(tmp_path / "mine", {"a.py": PYTHON}, remote)
    assert sorted(read(Folder(str(folder)), tmp_path)[0]) == [f"{name}/a.py"]
    assert sorted(read(Folder(str(folder), repo="other"), tmp_path)[0]) == ["other/a.py"]


@needs_git
def test_checkouts_in_a_folder_are_repositories_of_their_own(tmp_path: Path) -> None:
    code = write(tmp_path / "code", {"loose.py": PYTHON})
    checkout(code / "one", {"a.py": PYTHON, "LICENSE": MIT}, "https://example.org/x/one.git")
    checkout(code / "deep/two", {"b.py": PYTHON, "LICENSE": BSD2})
    checkout(code / "one/inner", {"c.py": PYTHON})
    documents, _ = read(Folder(str(code), exclude=("LICENSE",)), tmp_path)
    licenses = {name: d.license for name, d in documents.items()}
    assert licenses == {
        "code/loose.py": "", "x/one/a.py": "MIT", "two/b.py": "BSD-2-Clause", "inner/c.py": "",
    }  # fmt: skip
    named, _ = read(Folder(str(code), repo="all", license="ISC"), tmp_path)
    assert {d.repo for d in named.values()} == {"all", "all/one", "all/deep/two", "all/one/inner"}
    assert {d.license for d in named.values()} == {"ISC"}


@needs_git
def test_a_folder_in_a_checkout_has_the_checkouts_name_and_licence(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "mine", {"LICENSE": MIT, "src/a.py": PYTHON})
    documents, _ = read(Folder(str(folder / "src")), tmp_path)
    assert [(d.name, d.license) for d in documents.values()] == [("mine/a.py", "MIT")]


@needs_git
def test_an_ignored_folder_that_is_named_is_read(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "mine", {".gitignore": "data/\n", "data/a.py": PYTHON})
    assert sorted(read(Folder(str(folder / "data")), tmp_path)[0]) == ["data/a.py"]


@needs_git
def test_a_broken_checkout_is_read_as_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "mine", {".git": "gitdir: /nowhere\n", "a.py": PYTHON})
    assert sorted(read(Folder(str(folder)), tmp_path)[0]) == ["mine/a.py"]
    assert "plain folder, since git says: fatal" in capsys.readouterr().err


@needs_git
def test_listing_does_not_run_what_a_checkout_asks_for(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "mine", {"a.py": PYTHON})
    run_git(folder, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    read(Folder(str(folder)), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_hook_that_points_git_elsewhere_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "mine", {"a.py": PYTHON})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert git.listing(folder).files == ("a.py",)


def test_excluded_patterns_take_files_and_whole_folders(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine",
        {"a.py": PYTHON, "a.min.js": "x", "docs/b.py": PYTHON, "docs/c/d.py": PYTHON,
         "src/docs/e.py": PYTHON},
    )  # fmt: skip
    documents, _ = read(Folder(str(folder), exclude=("*.min.js", "docs/")), tmp_path)
    assert sorted(documents) == ["mine/a.py", "mine/src/docs/e.py"]


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine",
        {"big.py": b"#" * 2000, "binary.py": b"x\0", "latin.py": b"# caf\xe9\n", "LICENSE": MIT},
    )
    documents, count = read(Folder(str(folder), max_bytes=1000), tmp_path)
    assert not documents
    assert count.reasons == {
        "larger than 1 kB": 1, "binary": 1, "not UTF-8": 1, "unknown language": 1,
    }  # fmt: skip
    assert count.bytes_in == sum(path.stat().st_size for path in folder.iterdir())


def test_a_name_in_bytes_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"caf\xe9.py")).write_text(PYTHON)
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert sorted(read(Folder(str(folder)), tmp_path)[0]) == ["mine/caf�.py"]


def test_a_missing_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is no folder"):
        Folder(str(tmp_path / "nowhere")).tasks(tmp_path)


def test_a_corpus_in_the_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PYTHON)
    (tmp_path / "corpus").mkdir()
    for name in ("corpus.json", "report.json", "report.md"):
        (tmp_path / "corpus" / name).write_text("{}\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/corpus.json").write_text("{}\n")
    documents, _ = read(Folder(str(tmp_path)), tmp_path)
    assert {document.path for document in documents.values()} == {"a.py", "mine/corpus.json"}
