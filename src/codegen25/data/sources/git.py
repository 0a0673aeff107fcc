"""What git knows of a folder: its files, the checkouts in it, and the name of its origin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from codegen25.data.sources.reading import skipped_folder

_REMOTE = re.compile(r"(?:\w+://[^/]+/|[\w.-]+@[^/:]+:|[\w-]+\.[\w.-]+:)(?:.*/)?([^/]+/[^/]+?)/?$")
_POINTERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_PASSED_OVER = ("--exclude=node_modules/", "--exclude=__pycache__/", "--exclude=.*/")


@dataclass(frozen=True)
class Listing:
    """What is in a folder, by names relative to it with `/`, sorted.

    files      that version control counts or would count.
    checkouts  folders in it that are git checkouts of their own, such as submodules.
    """

    files: tuple[str, ...]
    checkouts: tuple[str, ...]


def listing(root: Path) -> Listing:
    """The files of a folder that no .gitignore leaves out; links are listed, not followed.

    Without git, or in a checkout that git refuses, a line on stderr says what that means.
    """
    if shutil.which("git") is None:
        _note(f"git is not installed: no .gitignore is read in {root}")
        return _walk(root)
    if top_folder(root):
        return _sorted_out(root, _checkout_files(root))
    if os.path.lexists(root / ".git"):
        refusal = _git(root, "rev-parse", "--show-toplevel").stderr.decode(errors="replace")
        reason = refusal.strip().partition("\n")[0]
        _note(f"{root} is read as a plain folder, since git says: {reason}")
    return _sorted_out(root, _plain_files(root))


def top_folder(root: Path) -> Path | None:
    """The top of the checkout that a folder belongs to, or None; an ignored one belongs to none."""
    answer = _git(root, "rev-parse", "--show-toplevel")
    if answer.returncode or not answer.stdout:
        return None
    top = Path(os.fsdecode(answer.stdout).rstrip("\n"))
    if top != root.resolve() and _git(root, "check-ignore", "-q", ".").returncode == 0:
        return None
    return top


def remote_name(root: Path) -> str:
    """`owner/name` from the URL of the remote `origin`, or empty.

    A remote that is a path on this machine names no owner.
    """
    url = os.fsdecode(_git(root, "config", "--get", "remote.origin.url").stdout).strip()
    match = _REMOTE.fullmatch(url.removesuffix("/").removesuffix(".git"))
    return match[1] if match else ""


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; one that is not installed fails like any other."""
    environment = {key: value for key, value in os.environ.items() if key not in _POINTERS}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    # A checkout's own settings may name a program to run; listing files needs none.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, b"", str(error).encode())


def _checkout_files(root: Path) -> list[str]:
    answer = _git(
        root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", *_PASSED_OVER
    )
    return _plain_files(root) if answer.returncode else _split(answer.stdout)


def _plain_files(root: Path) -> list[str]:
    """The files of a folder that is no checkout, by an empty repository made beside it."""
    with tempfile.TemporaryDirectory(prefix="codegen25-git-") as empty:
        _git(Path(empty), "init", "--quiet", "--bare", empty)
        answer = _git(
            root, f"--git-dir={empty}", "--work-tree=.",
            "ls-files", "--others", "--exclude-standard", "-z", *_PASSED_OVER,
        )  # fmt: skip
    if answer.returncode:
        _note(f"git cannot list {root}: no .gitignore is read in it")
        return list(_walk(root).files)
    return _split(answer.stdout)


def _split(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _sorted_out(root: Path, names: list[str]) -> Listing:
    files: set[str] = set()
    checkouts: set[str] = set()
    passed: dict[str, bool] = {"": False}
    for name in names:
        name = name.rstrip("/")
        path = root / name
        if _passed_over(root, name.rpartition("/")[0], passed):
            continue
        if path.is_dir() and not path.is_symlink():
            if (path / ".git").exists() and not _passed_over(root, name, passed):
                checkouts.add(name)
        elif os.path.lexists(path):
            files.add(name)
    return Listing(tuple(sorted(files)), tuple(sorted(checkouts)))


def _passed_over(root: Path, folder: str, known: dict[str, bool]) -> bool:
    """Whether a folder is hidden, installed, a virtual environment or a link, or in such a one."""
    if folder not in known:
        parent, _, name = folder.rpartition("/")
        path = root / folder
        known[folder] = (
            _passed_over(root, parent, known)
            or skipped_folder(name)
            or path.is_symlink()
            or (path / "pyvenv.cfg").exists()
        )
    return known[folder]


def _walk(root: Path) -> Listing:
    files: list[str] = []
    checkouts: list[str] = []
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        links = [name for name in inner if (here / name).is_symlink()]
        kept = []
        for name in inner:
            path = here / name
            if name in links or skipped_folder(name) or (path / "pyvenv.cfg").exists():
                continue
            if (path / ".git").exists():
                checkouts.append(path.relative_to(root).as_posix())
            else:
                kept.append(name)
        inner[:] = kept
        files += [(here / name).relative_to(root).as_posix() for name in (*names, *links)]
    return Listing(tuple(sorted(files)), tuple(sorted(checkouts)))


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)


def head(root: Path) -> str:
    """The commit that a repository stands at, or empty where there is none."""
    answer = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return answer.stdout.decode().strip() if answer.returncode == 0 else ""
