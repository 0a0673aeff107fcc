"""An index of a folder: what is read, what is not, and that it follows changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.sample.context import File, Limits, Repository, View
from codegen25.sample.context.ignore import is_ignored, parse


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_only_readable_source_is_read(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.py": "x = 1\n"})
    root = write(tmp_path / "root", {
        "a.py": "\ufeffx = 1\r\ny = 2\r\n", "src/pkg/b.py": "b = 1\n", "web/c.ts": "let c\n",
        "notes.txt": "no source", ".hidden.py": "x", ".git/hooks/d.py": "x", "build/e.py": "x",
        "node_modules/f/f.js": "x", "venv/lib/g.py": "x", "x.egg-info/h.py": "x",
        "binary.py": b"a\0b", "latin.py": b"\xff\xfe", "big.py": "x = 1\n" * 40_000,
        "minified.js": "x" * 5000, "empty.py": "",
    })  # fmt: skip
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "linked").symlink_to(outside)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.py")
    repository = Repository(root)
    assert list(repository.files) == ["a.py", "empty.py", "web/c.ts", "src/pkg/b.py"]
    assert repository.files["a.py"].text == "x = 1\ny = 2\n"


def test_gitignore_is_heeded(tmp_path: Path) -> None:
    root = write(tmp_path, {
        ".gitignore": "# generated\n*_pb2.py\n/top.py\nmade/\n!keep_pb2.py\n",
        "a_pb2.py": "", "keep_pb2.py": "", "top.py": "", "sub/top.py": "", "made/x.py": "",
        "sub/.gitignore": "local.py\n", "sub/local.py": "", "local.py": "",
    })  # fmt: skip
    assert sorted(Repository(root).files) == ["keep_pb2.py", "local.py", "sub/top.py"]


PATTERN = st.text(alphabet="ab*?/!.[]\\", min_size=1, max_size=7)
NAMES = ("a", "b", "ab", "a.b", "b/a", "a/b/a", "b/a.b")


@pytest.mark.skipif(shutil.which("git") is None, reason="git says what is right")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([
    "a", "/a", "a/", "b/a", "/b", "*.b", "a*", "**/a", "b/**", "a/**/a", "!a", "!b/a", "[a]b",
    "[!b]", "?", "a?b", "#a", "\\#a", "a ", "/*", "!/b/", "*/a",
]), min_size=1, max_size=4))  # fmt: skip
def test_rules_are_gits(tmp_path_factory: pytest.TempPathFactory, patterns: list[str]) -> None:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", root], check=True)
    (root / ".gitignore").write_text("\n".join(patterns))
    asked = "\n".join(NAMES).encode()
    # Names that do not exist are files; a folder in them is asked about as their part.
    command = ["git", "-C", str(root), "check-ignore", "--no-index", "--stdin"]
    said = subprocess.run(command, input=asked, capture_output=True, check=False).stdout.decode()
    rules = parse("\n".join(patterns), "")
    assert [name for name in NAMES if left_out(name, rules)] == said.split()


def left_out(path: str, rules: list) -> bool:
    """As the walk does: a folder that is left out is not entered."""
    parts = path.split("/")
    above = ("/".join(parts[:k]) for k in range(1, len(parts)))
    return any(is_ignored(each, True, rules) for each in above) or is_ignored(path, False, rules)


@given(st.text(max_size=80))
def test_any_gitignore_is_parsed(text: str) -> None:
    is_ignored("a/b.py", False, parse(text, ""))


def test_no_pattern_takes_for_ever() -> None:
    rules = parse(f"{'*a' * 20}b\n{' ' * 100_000}x\n{'**/' * 20}a\n**/**/**/b", "")
    assert not is_ignored("/".join(["a" * 200] * 20), False, rules)


@given(PATTERN)
def test_patterns_compile_or_are_passed_over(pattern: str) -> None:
    is_ignored("a/b/a.b", False, parse(pattern, "a/"))


def test_refresh_reads_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"a.py": "first = 1\n", "b.py": "second = 2\n", "c.py": "third = 3\n"})
    repository = Repository(root)
    before = repository.files["c.py"]
    assert repository.refresh() == 0
    write(root, {"a.py": "changed_name = 10\n", "d.py": "fourth = 4\n"})
    (root / "b.py").unlink()
    assert repository.refresh() == 3
    assert sorted(repository.files) == ["a.py", "c.py", "d.py"]
    assert repository.files["a.py"].text == "changed_name = 10\n"
    assert repository.files["c.py"] is before
    write(root, {"d.py": b"\0\0"})
    assert repository.refresh() == 1 and "d.py" not in repository.files
    assert repository.refresh() == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["one", "two one", ""]))))
def test_a_view_changed_is_a_view_made(changes: list[tuple[str, str]]) -> None:
    view = View()
    for path, text in changes:
        if text:
            view.put(File(path, text))
        elif path in view.files:
            view.remove(path)
    fresh = View(view.files.values())
    for word in ("one", "two", "three"):
        assert view.weight(word) == fresh.weight(word)


def test_rarer_words_weigh_more() -> None:
    view = View.of({"a.py": "common rare", "b.py": "common", "c.py": "common"})
    assert view.weight("unknown") > view.weight("rare") > view.weight("common") > 0


def test_an_index_is_bounded(tmp_path: Path) -> None:
    files = {f"{name}.py": "x = 1\n" for name in "abcdef"}
    root = write(tmp_path, {**files, "sub/deep.py": "y = 2\n"})
    assert sorted(Repository(root, Limits(files=2)).files) == ["a.py", "b.py"]
    assert len(Repository(root, Limits(bytes=18)).files) == 3
    assert Repository(root, Limits(file_bytes=5)).files == {}
    assert len(Repository(root, Limits(entries=4)).files) <= 4
    assert "sub/deep.py" not in Repository(root, Limits(entries=7)).files


def test_unreadable_folders_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path, {"a.py": "x = 1\n", "locked/b.py": "x = 1\n"})
    scandir = os.scandir

    def refuse(path: Path) -> os._ScandirIterator[str]:
        if Path(path).name == "locked":
            raise PermissionError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(Repository(root).files) == ["a.py"]


def test_paths_are_seen_from_the_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"src/a.py": "x = 1\n"})
    (tmp_path / "alias").symlink_to(root)
    repository = Repository(tmp_path / "alias")
    for path in ("src/a.py", "./src/../src/a.py", root / "src/a.py", tmp_path / "alias/src/a.py"):
        assert repository.relative(path) == "src/a.py"
    assert repository.relative("/elsewhere/b.py") == "b.py"
    assert repository.relative("src/new.py") == "src/new.py"


def test_no_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        Repository(tmp_path / "missing")
