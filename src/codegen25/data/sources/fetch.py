"""Fetch a package with the user's own package manager, once, into a cache folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from codegen25.errors import UserError


def fetched(cache: Path, kind: str, name: str, command: Sequence[str]) -> Path:
    """The file that `command`, run in an empty folder, downloads there for the package `name`.

    It is kept as `cache/KIND/NAME/FILE`, the file's name holding the version, and not fetched
    again: a name without a version stays at the one first fetched until the folder is removed.
    A program that is missing or fails is a UserError with the last it said.
    """
    folder = cache.absolute() / kind / quote(name, safe="@=+:~")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        print(f"fetching {kind}:{name}", file=sys.stderr)
        staging = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        try:
            _run(command, staging, f"{kind}:{name}")
            _single(staging, f"{kind}:{name}")
            staging.chmod(0o755)
            _settle(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return _single(folder, f"{kind}:{name}")


def _settle(staging: Path, folder: Path) -> None:
    try:
        staging.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, with the same file
            raise


def _single(folder: Path, what: str) -> Path:
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    if len(files) != 1:
        raise UserError(f"{what}: {len(files)} files were fetched, not one; remove {folder}")
    return files[0]


def _run(command: Sequence[str], folder: Path, what: str) -> None:
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"{what}: the program {command[0]} cannot be run: {error.strerror}"
        ) from error
    if done.returncode:
        raise UserError(f"{what}: {complaint(done.stderr) or complaint(done.stdout)}")


def complaint(output: str) -> str:
    """What a program's output says went wrong: its last line, of npm's errors the first."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    npm = [
        line for line in lines if re.match(r"npm (error|ERR!) (?!code |A complete log)\S+ ", line)
    ]
    return npm[0] if npm else (lines[-1] if lines else "")
