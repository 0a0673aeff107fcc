"""Single-file changes out of a git history: one `git log`, and one `git cat-file` for the blobs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codegen25.errors import UserError

_LOG = (
    "log", "-z", "--raw", "--no-abbrev", "--no-merges", "--no-renames", "--no-ext-diff",
    "--no-show-signature", "--no-notes", "--no-color",
    "--format=tformat:%H%x00%an%x00%ae%x00%B%x00", "HEAD", "--",
)  # fmt: skip
_HEADER_FIELDS = 4
_FILE_MODE = b"100"
"""How the modes of regular files begin; links and submodules have others."""


@dataclass(frozen=True)
class Change:
    """A commit that changed the content of one file, and nothing else.

    commit, before, after   object names, in hexadecimal.
    author                  name and e-mail address, to be kept out of the text.
    """

    commit: str
    author: tuple[str, str]
    message: str
    path: str
    before: str
    after: str


def changes(repository: Path) -> Iterator[Change]:
    """The single-file changes up to HEAD, newest first; merges and other commits are passed over.

    A UserError when `repository` is no git repository, bare or not, or when git is missing.
    """
    with _git(repository, *_LOG) as (process, errors):
        assert process.stdout is not None
        fields = _split(process.stdout)
        header = _take(fields)
        while header:
            entries: list[tuple[bytes, bytes]] = []
            following: list[bytes] = []
            for field in fields:
                text = field.lstrip(b"\n")
                if text.startswith(b":"):
                    entries.append((text, next(fields, b"")))
                elif text:
                    following = _take(fields, text)
                    break
            change = _change(header, entries)
            if change is not None:
                yield change
            header = following
        if process.wait():
            errors.seek(0)
            reason = errors.read().decode(errors="replace").strip().split("\n")[0]
            if "bad revision 'HEAD'" not in reason:
                raise UserError(f"{repository}: git cannot read its history: {reason}")


def _take(fields: Iterator[bytes], *first: bytes) -> list[bytes]:
    """The fields of a commit's header, or nothing at the end."""
    taken = list(first)
    for field in fields:
        taken.append(field)
        if len(taken) == _HEADER_FIELDS:
            return taken
    return []


def _change(header: list[bytes], entries: list[tuple[bytes, bytes]]) -> Change | None:
    if len(entries) != 1:
        return None
    (raw, path), (commit, name, mail, message) = entries[0], header
    old_mode, new_mode, before, after, status = raw[1:].split()
    if status != b"M" or before == after:
        return None
    if not (old_mode.startswith(_FILE_MODE) and new_mode.startswith(_FILE_MODE)):
        return None
    try:
        return Change(
            commit.decode(), (name.decode(), mail.decode()), message.decode(), path.decode(),
            before.decode(), after.decode(),
        )  # fmt: skip
    except UnicodeDecodeError:
        return None


def _split(stream: IO[bytes]) -> Iterator[bytes]:
    """The NUL-terminated fields of a stream."""
    rest = b""
    while chunk := stream.read(1 << 16):
        *fields, rest = (rest + chunk).split(b"\0")
        yield from fields


class Blobs:
    """Reads blobs by name; made by `open_blobs`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def read(self, name: str, most: int) -> bytes | None:
        """The blob's bytes, or None when it is missing or has more than `most`."""
        try:
            self._stdin.write(name.encode() + b"\n")
            self._stdin.flush()
            answer = self._stdout.readline().split()
        except BrokenPipeError:
            answer = []
        if not answer:
            raise UserError("git gave up on a file's content; is the repository a whole clone?")
        if answer[-1] == b"missing":
            return None
        size = int(answer[2])
        raw = self._stdout.read(min(size, most))
        left = size - len(raw) + 1
        while left and (skipped := self._stdout.read(min(left, 1 << 20))):
            left -= len(skipped)
        return raw if size <= most else None


@contextmanager
def open_blobs(repository: Path) -> Iterator[Blobs]:
    """A running `git cat-file`."""
    with _git(repository, "cat-file", "--batch") as (process, _):
        yield Blobs(process)


@contextmanager
def _git(repository: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A git process, which ends with the block at the latest, and what it says of errors.

    It looks at `repository` only, not at folders above it, and never goes online.
    """
    where = repository.resolve()
    kept = {k: v for k, v in os.environ.items() if not _names_a_repository(k)}
    ours = {
        "GIT_CEILING_DIRECTORIES": str(where.parent),
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    options = ("--no-pager", "--no-replace-objects", "-c", "i18n.logOutputEncoding=UTF-8")
    offline = ("-c", "protocol.allow=never")
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                ["git", *options, *offline, "-C", str(where), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=kept | ours,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise UserError("git was not found; install it to read commits") from error
        try:
            yield process, errors
        finally:
            process.kill()
            process.communicate()


def _names_a_repository(variable: str) -> bool:
    """Whether the variable would send git elsewhere, as hooks do; settings are the user's."""
    return variable.startswith("GIT_") and not variable.startswith("GIT_CONFIG_")
