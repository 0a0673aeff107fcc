"""Issues and their comments, from rows such as GitHub's API and its `gh` program give.

Layout (StarCoder paper, section on data formatting): `<issue_start>Title: T`, a newline,
`username_0: body<issue_comment>username_1: comment…`, and `<issue_closed>` last if it is closed.
Rules (bigcode-dataset, preprocessing/filtering_issues.py): bots go, text that mail programs add
goes, long comments lose their middle, and an issue stays if it has 200 characters of text and
either two people or a bounded monologue. BigCode numbers people as we do, by first appearance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from codegen25.data.documents import Document
from codegen25.data.records.layout import (
    ISSUE_CLOSED,
    ISSUE_COMMENT,
    ISSUE_START,
    lay_out,
    well_formed,
)  # fmt: skip
from codegen25.data.records.people import GHOST, Pseudonyms, is_bot

LANGUAGE = "issues"
MIN_CHARACTERS = 200
MAX_MONOLOGUE = 7000
"""Characters, at most, of an issue in which one person speaks."""
MAX_MONOLOGUE_EVENTS = 10
MAX_LINES = 80
LAST_LINES = 20
"""A comment of more than `MAX_LINES` keeps so many of them, these last ones included."""

Event = tuple[str, str]
"""Login and text of the opening post or a comment."""


def issues(
    rows: Iterable[Mapping[str, Any]],
    *,
    repo: str = "",
    license: str = "",  # noqa: A002
) -> Iterator[Document]:
    """The rows that make a record, see `issue`; one without a number gets its place in `rows`."""
    for place, row in enumerate(rows):
        numbered = row if row.get("number") is not None else {**row, "number": f"row-{place}"}
        document = issue(numbered, repo=repo, license=license)
        if isinstance(document, Document):
            yield document


def issue(
    row: Mapping[str, Any],
    *,
    repo: str = "",
    license: str = "",  # noqa: A002
) -> Document | str:
    """The record of one issue, or the reason why it is none.

    Read are `title`, `body`, `state`, `number`, `user` or `author` (a login or a mapping with
    `login`), `comments` (a list of mappings with `body` and `user` or `author`), and, where the
    arguments are empty, `repo` or `repository` and `license`.
    """
    title = " ".join(_text(row.get("title")).split())
    if not title:
        return "no title"
    opener = _login(row)
    if is_bot(opener):
        return "opened by a bot"
    comments = row.get("comments")
    comments = comments if isinstance(comments, list) else []
    found = [(_login(each), _text(each.get("body"))) for each in comments if _is_mapping(each)]
    events = [(opener, _text(row.get("body"))), *_by_people(found)]
    events = [(login, _shortened(_without_mail(text))) for login, text in events]
    events = events[:1] + [event for event in events[1:] if event[1]]
    if reason := _reason(events):
        return reason
    text, marks = lay_out(_pieces(title, events, _text(row.get("state")).lower() == "closed"))
    return Document(
        text,
        path=f"issues/{_name(row.get('number', ''))}",
        repo=repo or _name(_repo(row.get("repo", row.get("repository")))),
        license=license or _name(_text(row.get("license"))),
        language=LANGUAGE,
        marks=marks,
    )


def _name(value: object) -> str:
    """A number or name as it can be written: short, on one line, encodable."""
    return well_formed(" ".join(str(value).split()))[:200] if not _is_mapping(value) else ""


def _pieces(title: str, events: list[Event], closed: bool) -> Iterator[Event]:
    names = Pseudonyms(login for login, _ in events)
    said = [f"{names.of(login)}: {names.replace(text)}".rstrip() for login, text in events]
    yield ISSUE_START, f"Title: {names.replace(title)}\n{said[0]}"
    yield from ((ISSUE_COMMENT, each) for each in said[1:])
    if closed:
        yield ISSUE_CLOSED, ""


def _reason(events: list[Event]) -> str:
    size = sum(len(text) for _, text in events)
    if size < MIN_CHARACTERS:
        return "short issue"
    if len({login.lower() for login, _ in events}) > 1:
        return ""
    too_long = size > MAX_MONOLOGUE or len(events) > MAX_MONOLOGUE_EVENTS
    return "long issue of one person" if too_long else ""


_COMMAND = re.compile(r"/\w[\w-]*(?:\s|\Z)")


def _by_people(events: list[Event]) -> list[Event]:
    """Without bots' comments, and without the comments right before them that call them."""
    kept: list[Event] = []
    for login, text in events:
        if not is_bot(login):
            kept.append((login, text))
        elif kept and (_COMMAND.match(kept[-1][1]) or f"@{login}".lower() in kept[-1][1].lower()):
            kept.pop()
    return kept


_MAIL = re.compile(r"notifications@github\.com|reply to this email directly", re.IGNORECASE)
_QUOTED = re.compile(r"^On\b[^\n]*(?:\n(?!>)[^\n]*){0,2}?\bwrote:[ \t]*$", re.MULTILINE)
_ADDED = re.compile(
    r"\s*(?:>|(?:reply to this email directly|you are receiving this because|sent from my)\b"
    r"|\W*(?:from|sent|to|cc|subject|date|reply-to)\W*:|[_—-]+\s*$)|.*view it on github",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"^[ \t]*[\w-]+-by:.*@.*\n?", re.IGNORECASE | re.MULTILINE)


def _without_mail(text: str) -> str:
    """Without what mail programs add to a reply: quotes, headers, footers; and sign-offs."""
    if _MAIL.search(text):
        lines = _QUOTED.sub("", text).split("\n")
        text = "\n".join(line for line in lines if not _ADDED.match(line))
    return _SIGNED.sub("", text).strip("\n").rstrip()


def _shortened(text: str) -> str:
    lines = text.split("\n")
    if len(lines) <= MAX_LINES:
        return text
    first = lines[: MAX_LINES - LAST_LINES]
    return "\n".join([*first, "[Truncated]", *lines[-LAST_LINES:]])


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _login(row: Mapping[str, Any]) -> str:
    """Who wrote it."""
    user = row.get("user") or row.get("author")
    name = user.get("login") if isinstance(user, Mapping) else user
    return _text(name).strip() or GHOST


def _repo(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("full_name") or value.get("nameWithOwner")
    return _text(value)


def _text(value: object) -> str:
    return value.replace("\r\n", "\n").strip("\n").rstrip() if isinstance(value, str) else ""
