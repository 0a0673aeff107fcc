"""What is typed: files, those of folders, or the held-out files of a corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from codegen25.data.shards import TextShard
from codegen25.errors import UserError

HELD_OUT = "heldout"


@dataclass(frozen=True)
class Text:
    """What is typed, what it is called, and what it is drawn from together with others."""

    name: str
    text: str
    group: str


def of_files(paths: Sequence[Path]) -> list[Text]:
    """The files named, and the .py files of folders, once each."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: no .py file in this folder")
        found += inside
    return [Text(path.name, _read(path), str(path)) for path in dict.fromkeys(found)]


def of_corpus(folder: Path, most: int | None = None) -> list[Text]:
    """The held-out Python files of a corpus as `repository/path`, at most so many of a repository,
    drawn by hash. Functions that stand there by themselves too are no files."""
    shard = TextShard(folder, HELD_OUT)
    repos: dict[str, dict[str, str]] = defaultdict(dict)
    for i, row in enumerate(shard.rows()):
        if row["language"] == "python" and "::" not in row["path"]:
            repos[row["repo"]][f"{row['repo']}/{row['path']}"] = shard[i]
    if not repos:
        raise UserError(f"{folder}: no Python file is held out; name files, or another corpus")
    found: list[Text] = []
    for repo, files in sorted(repos.items()):
        drawn = sorted(files, key=lambda name: sha256(name.encode()).digest())[:most]
        found += [Text(name, files[name], repo) for name in sorted(drawn)]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no UTF-8 text (byte {error.start})") from error
