"""Completions that were accepted, kept as training data when the user asks for it.

One JSON object a line: `time`, `language`, `prefix`, `middle`, `suffix`. The file is its owner's
alone and lies on this machine; nothing is remembered, in memory either, unless keeping is on.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.serve.languages import extension_of

NAME = "accepted.jsonl"
log = logging.getLogger(__name__)
REMEMBERED = 256
REACH = 100_000
"""Characters of a file that are kept before a completion and behind it."""
MOST_BYTES = 64 << 20
"""Of the file; what is accepted beyond that is not kept."""


@dataclass(frozen=True)
class Shown:
    """A completion that a client was given, and where."""

    prefix: str
    text: str
    suffix: str
    language: str


def key(owner: str, name: str, index: int = 0) -> str:
    """What a completion is known by: whose it is, its name, which of several answers."""
    return f"{owner}/{name}/{index}"


class Accepted:
    """What was shown of late, and the file of what was accepted. For several threads at once."""

    def __init__(self, folder: Path, keep: bool) -> None:
        self.path, self.keep = folder / NAME, keep
        self._shown: OrderedDict[str, Shown] = OrderedDict()

    def show(self, name: str, shown: Shown) -> None:
        """A completion was shown under a name."""
        if self.keep and shown.text:
            cut = replace(shown, prefix=shown.prefix[-REACH:], suffix=shown.suffix[:REACH])
            self._shown[name] = cut
            if len(self._shown) > REMEMBERED:
                self._shown.popitem(last=False)

    def select(self, name: str, *, line: bool = False) -> bool:
        """It was accepted, or its first `line` was; whether that was kept."""
        shown = self._shown.pop(name, None)
        if shown is None or not self.keep:
            return False
        end = shown.text.find("\n", 1)  # the rest of an earlier acceptance begins with its newline
        middle = shown.text[:end] if line and end > 0 else shown.text
        rest = shown.text[len(middle) :]
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "language": shown.language,
            "prefix": shown.prefix,
            "middle": middle,
            "suffix": shown.suffix,
        }
        if line and rest:  # the other lines may be accepted next
            self._shown[name] = Shown(shown.prefix + middle, rest, shown.suffix, shown.language)
        try:
            return self._append(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            log.warning("what was accepted can't be kept: %s", error.strerror)
            return False

    def dismiss(self, name: str) -> None:
        """It was not accepted."""
        self._shown.pop(name, None)

    def _append(self, row: bytes) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        opened = os.open(self.path, flags, 0o600)
        try:
            if os.fstat(opened).st_size + len(row) > MOST_BYTES:
                return False
            return os.write(opened, row) == len(row)
        finally:
            os.close(opened)


def listed(folder: Path) -> Iterator[dict[str, Any]]:
    """What was kept, the oldest first; a line that was cut short is left out."""
    try:
        with (folder / NAME).open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / NAME}: cannot be read ({error}); erase it") from error


def write(folder: Path, out: Path) -> int:
    """Each acceptance as a source file in `out`, which `train personal --data` reads; how many."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, row in enumerate(listed(folder), 1):
        text = row["prefix"] + row["middle"] + row["suffix"]
        extension = extension_of(row["language"])
        (out / f"accepted-{count:05}.{extension}").write_text(text, encoding="utf-8")
    return count


def erase(folder: Path) -> int:
    """Delete what was kept; how many completions that were."""
    path = folder / NAME
    try:
        count = path.read_bytes().count(b"\n")
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise UserError(f"{path}: cannot be erased ({error.strerror})") from error
    return count
