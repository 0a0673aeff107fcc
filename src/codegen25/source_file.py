"""A file with a cursor: read it, split it there, put an answer in, write it back whole."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from codegen25.errors import UserError

STDIN = "-"
MOST = 256_000_000
"""Bytes of the largest file that is read; a device has no end."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]*$")
"""Lines as editors count them: form feeds and Unicode's separators do not end one."""
_DIFF_LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""Lines as `patch` and git count them."""
_MARK = "\ufeff"


@dataclass(frozen=True)
class SourceFile:
    """A file's text as a model reads it.

    A byte order mark is not part of `text`, and where every line ends in CRLF, `text` has "\\n"
    for it; both are put back when an answer is written. Mixed line endings stay as they are.
    """

    name: str
    text: str
    newline: str = "\n"
    marked: bool = False

    @classmethod
    def read(cls, name: str) -> SourceFile:
        """Read a UTF-8 file, or standard input for "-"."""
        try:
            if name == STDIN and sys.stdin is None:
                raise UserError("standard input is closed; give a file")
            raw = sys.stdin.buffer.read(MOST + 1) if name == STDIN else _head(Path(name))
        except OSError as error:
            raise UserError(f"{name}: {error.strerror or error}; give a file or - ") from error
        if len(raw) > MOST:
            raise UserError(f"{name}: larger than {MOST // 10**6} MB; give a source file")
        if b"\0" in raw:
            raise UserError(f"{name}: a binary file (it holds NUL bytes); give source code")
        try:
            return cls._of(name, raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}: not UTF-8 (byte {error.start}); convert it, e.g. with iconv"
            ) from error

    @classmethod
    def _of(cls, name: str, text: str) -> SourceFile:
        marked = text.startswith(_MARK)
        text = text.removeprefix(_MARK)
        plain = text.replace("\r\n", "\n")
        crlf = len(text) - len(plain) == plain.count("\n") > 0 and "\r" not in plain
        return cls(name, plain if crlf else text, "\r\n" if crlf else "\n", marked)

    def _on_disk(self, text: str) -> str:
        return _MARK * self.marked + text.replace("\n", self.newline)

    def require_writable(self) -> None:
        """Raise a UserError unless the file is a regular one that may be written to."""
        path = Path(self.name)
        if not path.is_file():
            raise UserError(f"{self.name}: no regular file; --in-place writes to those only")
        if not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
            raise UserError(f"{self.name}: read-only; make it writable (chmod u+w) or use --diff")

    def split(self, at: str | None) -> tuple[str, str]:
        """Prefix and suffix around a "LINE:COL" cursor; None is the end of the file.

        Both count from 1, columns in characters; COL may be one past the line's last character.
        """
        if at is None:
            return self.text, ""
        line, column = _parse_cursor(at)
        lines = _LINE.findall(self.text)
        if self.text and not self.text.endswith(("\n", "\r")):
            lines.pop()  # the expression matches once more, empty, behind the last line
        if line > len(lines):
            raise UserError(f"{self.name}: no line {line}; it has {len(lines)}")
        width = len(lines[line - 1].rstrip("\r\n"))
        if column > width + 1:
            raise UserError(
                f"{self.name}: no column {column} in line {line}; it goes to {width + 1}"
            )
        offset = sum(map(len, lines[: line - 1])) + column - 1
        return self.text[:offset], self.text[offset:]

    def diff(self, text: str) -> str:
        """A unified diff from this file to `text`."""
        before, after = (_DIFF_LINE.findall(self._on_disk(each)) for each in (self.text, text))
        name = self.name.lstrip("/")
        lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )

    def replace(self, text: str) -> None:
        """Write `text` in the file's place: whole, or not at all. Its mode is kept."""
        self.require_writable()
        path = Path(self.name).resolve()
        if SourceFile.read(self.name) != self:
            raise UserError(f"{self.name}: it changed meanwhile; nothing was written, ask again")
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self._on_disk(text).encode("utf-8"))
                    file.flush()
                    os.fsync(file.fileno())
                before = path.stat()
                Path(temporary).chmod(before.st_mode & 0o7777)
                with contextlib.suppress(PermissionError):
                    os.chown(temporary, before.st_uid, before.st_gid)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise UserError(f"{self.name}: cannot be written ({error.strerror})") from error


def _parse_cursor(at: str) -> tuple[int, int]:
    line, colon, column = at.partition(":")
    if len(at) > 40 or not (
        colon and line.isdecimal() and column.isdecimal() and int(line) and int(column)
    ):
        raise UserError(f"--at {at}: give LINE:COL, both counted from 1, e.g. --at 12:5")
    return int(line), int(column)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST + 1)
