"""Text and marks from labelled pieces, and back to something people can read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from codegen25.data.documents import Document, Mark
from codegen25.infill import STRUCTURE

(
    FILENAME, GH_STARS, ISSUE_START, ISSUE_COMMENT, ISSUE_CLOSED,
    JUPYTER_START, JUPYTER_TEXT, JUPYTER_CODE, JUPYTER_OUTPUT, EMPTY_OUTPUT,
    COMMIT_BEFORE, COMMIT_MSG, COMMIT_AFTER, REPONAME,
) = STRUCTURE  # fmt: skip

RECORDS = frozenset(("commits", "issues", "notebooks"))
"""What stands as the language of a record."""

Piece = tuple[str, str]
"""A special token and the text that follows it."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def lay_out(pieces: Iterable[Piece]) -> tuple[str, tuple[Mark, ...]]:
    """The pieces' texts end to end, and the special tokens with their character positions.

    >>> lay_out([("<jupyter_start>", ""), ("<jupyter_text>", "Hi"), ("<jupyter_code>", "1")])
    ('Hi1', ((0, '<jupyter_start>'), (0, '<jupyter_text>'), (2, '<jupyter_code>')))
    """
    texts: list[str] = []
    marks: list[Mark] = []
    position = 0
    for name, text in pieces:
        marks.append((position, name))
        texts.append(well_formed(text))
        position += len(text)
    return "".join(texts), tuple(marks)


def well_formed(text: str) -> str:
    """`text` with lone surrogates, which JSON can spell and UTF-8 cannot, replaced by U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def spell(document: Document) -> str:
    """The document with its special tokens spelled out: for people and tests, never for encoding.

    Text that spells a special token itself looks the same as a mark.
    """
    parts: list[str] = []
    last = 0
    for position, name in document.marks:
        parts += [document.text[last:position], name]
        last = position
    return "".join([*parts, document.text[last:]])
