"""Commits as records: a file before, what was said, the file after.

Layout (StarCoder paper, section on data formatting): `<commit_before>code<commit_msg>message
<commit_after>code`, nothing between. As there, a fifth of the records show the whole file, the
others up to 32 lines around the change: two whole files seldom fit a window. Of changes that span
200 lines or more a tenth is kept (bigcode-dataset, preprocessing/filtering_git_commits.ipynb).
BigCode also thins out tiny changes and short messages; we keep them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codegen25.data.documents import Document
from codegen25.data.languages import known, language_of
from codegen25.data.metadata import chance
from codegen25.data.records.git import Change, changes, open_blobs
from codegen25.data.records.layout import COMMIT_AFTER, COMMIT_BEFORE, COMMIT_MSG, lay_out
from codegen25.data.records.messages import clean, reason_against
from codegen25.data.records.people import is_bot
from codegen25.errors import UserError

LANGUAGE = "commits"
MAX_BYTES = 100_000
"""Of a file, before and after."""
WHOLE = 0.2
"""Share of records that show the whole file."""
WINDOW = 32
"""Most lines shown before and after a change."""
LONG_CHANGE = 200
LONG_KEPT = 0.1


def commits(
    repository: Path,
    *,
    repo: str,
    license: str = "",  # noqa: A002
    max_bytes: int = MAX_BYTES,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[Document]:
    """The commits up to HEAD of a git repository that make a record, newest first.

    Taken are non-merges that changed one file of a known language, of at most `max_bytes` before
    and after, and said something about it; see `commit`. At most `limit` records. Their path is
    `commit/SHA/PATH`. `repository` is a folder with a `.git`, or a bare repository.
    """
    if not repository.is_dir():
        raise UserError(f"{repository} is not a folder; give a git repository")
    taken = 0
    with open_blobs(repository) as blobs:
        for change in changes(repository) if limit != 0 else ():
            if not known(change.path) or reason_against(clean(change.message, change.author)):
                continue
            texts = [_text(blobs.read(name, max_bytes)) for name in (change.before, change.after)]
            document = commit(change, *texts, repo=repo, license=license, seed=seed)
            if isinstance(document, Document):
                yield document
                taken += 1
                if taken == limit:
                    return


def commit(
    change: Change,
    before: str,
    after: str,
    *,
    repo: str,
    license: str = "",  # noqa: A002
    seed: int = 0,
) -> Document | str:
    """The record of one change, or the reason why it is none.

    `before` and `after` are the file's text, empty where it could not be read. Whether the record
    shows the whole file, and else how much around the change, is drawn by hash of seed, repository
    and commit.
    """
    if _by_bot(*change.author):
        return "made by a bot"
    message = clean(change.message, change.author)
    if reason := reason_against(message):
        return reason
    if not (before.strip() and after.strip()):
        return "unreadable, too large or empty"
    if before == after:
        return "nothing but line ends"
    if language_of(change.path, after) in ("", "jupyter"):
        return "no known language"
    key = (repo, change.commit)
    if change_span(before, after) >= LONG_CHANGE and chance(seed, *key, "long") >= LONG_KEPT:
        return "long change"
    if chance(seed, *key, "whole") >= WHOLE:
        lines = 1 + int(chance(seed, *key, "lines") * WINDOW)
        before, after = around_change(before, after, lines)
    pieces = [(COMMIT_BEFORE, before), (COMMIT_MSG, message), (COMMIT_AFTER, after)]
    text, marks = lay_out(pieces)
    path = f"commit/{change.commit}/{change.path}"
    return Document(text, path, repo, license=license, language=LANGUAGE, marks=marks)


def _by_bot(name: str, mail: str) -> bool:
    """By an account's name; of a person's, a word may look like one."""
    return "[bot]" in name + mail or (" " not in name and is_bot(name))


def around_change(before: str, after: str, lines: int) -> tuple[str, str]:
    """Both texts cut to what differs, as one block, and at most `lines` lines on either side."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    first, last = _common_ends(old, new)
    start = max(0, first - lines)
    parts = [each[start : min(len(each), len(each) - last + lines)] for each in (old, new)]
    return "".join(parts[0]), "".join(parts[1])


def change_span(before: str, after: str) -> int:
    """Lines from the first to the last that differs, in the longer of the two."""
    old, new = before.splitlines(), after.splitlines()
    first, last = _common_ends(old, new)
    return max(len(old), len(new)) - first - last


def _common_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines the two begin with in common, and then how many they end with."""
    most = min(len(old), len(new))
    first = next((i for i in range(most) if old[i] != new[i]), most)
    most -= first
    return first, next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)


def _text(raw: bytes | None) -> str:
    try:
        return (raw or b"").decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ""
