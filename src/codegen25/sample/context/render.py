"""Snippets to ids within a budget, in an order that does not depend on their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from itertools import groupby

from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT, METADATA, Encoder
from codegen25.sample.context.languages import comment
from codegen25.sample.context.snippet import DEFINITION, EDIT, SIMILAR, Snippet

_, FILENAME, _ = METADATA
_ORDER = (SIMILAR, EDIT, DEFINITION)
"""What says most about the cursor's line stands nearest to it."""
_LEAST = 8
"""Ids below which nothing more is tried."""


class Style(StrEnum):
    """How a file's snippets are set apart.

    COMMENT   by a comment with the path, as if all stood in one file.
    FILENAME  as training data is: the special token and the path before, `<|endoftext|>` after. A
              vocabulary may reserve the token without the model having ever seen it: only those
              trained on data with metadata know it (`metadata` in the recipe for the data).

    On the shipped model, which has seen documents end but no metadata, the heading makes no
    difference, and without the ends context is worth a little more (benchmarks/context.py).
    """

    COMMENT = "comment"
    FILENAME = "filename"


def render(
    snippets: Sequence[Snippet],
    tokenizer: Encoder,
    budget: int,
    *,
    style: Style = Style.COMMENT,
) -> list[int]:
    """The ids of the best snippets, at most `budget`, under the path of each file.

    Snippets are taken by score while they fit. They stand by kind, path and line, so that scores
    that move a little do not move the ids. Paths and texts are encoded literally.
    """
    encode = _encoder(tokenizer, style)
    taken: list[Snippet] = []
    ids: list[int] = []
    for each in sorted(snippets, key=_rank):
        if budget - len(ids) < _LEAST:
            break
        more = [i for path, text in _documents([*taken, each]) for i in encode(path, text)]
        if len(more) <= budget:
            taken.append(each)
            ids = more
    return ids


def _rank(each: Snippet) -> tuple[float, str, int, str, str]:
    """The best first; whatever else tells two apart decides ties."""
    return -each.score, each.path, each.line, each.text, each.kind


def _encoder(tokenizer: Encoder, style: Style) -> Callable[[str, str], list[int]]:
    """Ids of a document by its path and text; those asked for again are not encoded again."""
    if style is Style.COMMENT:
        return cache(lambda path, text: tokenizer.encode(f"{comment(path)} {path}\n{text}"))
    mark, end = tokenizer.special(FILENAME), tokenizer.special(END_OF_TEXT)
    if mark is None or end is None:
        raise UserError(f"the tokenizer lacks {FILENAME}; use the comment style")
    return cache(lambda path, text: [mark, *tokenizer.encode(f"{path}\n{text}"), end])


def _documents(snippets: Sequence[Snippet]) -> Iterator[tuple[str, str]]:
    """Path and text of each file's snippets, kind by kind."""

    def place(snippet: Snippet) -> tuple[int, str]:
        return _ORDER.index(snippet.kind), snippet.path

    ordered = sorted(snippets, key=lambda each: (*place(each), each.line, each.text))
    for (_, path), group in groupby(ordered, key=place):
        text = "\n\n".join(each.text for each in group) + "\n"
        yield _well_formed(path.replace("\n", " ")), _well_formed(text)


def _well_formed(text: str) -> str:
    """`text` with lone surrogates, which file names may hold, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
