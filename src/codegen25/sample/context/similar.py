"""Windows of other files that share rare identifiers with the lines around the cursor.

Files are ranked by the weight of the identifiers they share, windows of the best files by the
weighted Jaccard index: shared weight over the weight of all identifiers of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest

from codegen25.sample.context.query import Query, telling_lines
from codegen25.sample.context.snippet import SIMILAR, Snippet
from codegen25.sample.context.view import File, View
from codegen25.sample.context.words import identifiers

SIZE, STEP = 20, 10
"""Lines of a window, and from one window's start to the next."""
FILES = 24
"""Files whose windows are looked at."""
LOOKED_AT = 64
"""Windows that share most of the weight, and are ranked."""
PER_FILE = 2
LIMIT = 8
KNOWN = 0.5
"""A window is no news when this share of its lines stands in the file, or was shown before."""


@dataclass(frozen=True)
class Window:
    """Lines of a file from `line` on, and their identifiers."""

    line: int
    text: str
    words: frozenset[str]


@lru_cache(maxsize=256)
def windows(text: str) -> tuple[Window, ...]:
    """Overlapping windows of a text, without empty lines at their ends."""
    lines = text.split("\n")
    found = []
    for start in range(0, max(1, len(lines) - SIZE + STEP), STEP):
        first, last = start, min(start + SIZE, len(lines))
        while first < last and not lines[first].strip():
            first += 1
        while last > first and not lines[last - 1].strip():
            last -= 1
        if part := "\n".join(lines[first:last]):
            found.append(Window(first + 1, part, identifiers(part)))
    return tuple(found)


def similar(view: View, query: Query, limit: int = LIMIT) -> list[Snippet]:
    """The windows of other files in the same language that are most like the cursor's, best first.

    Windows overlap neither each other nor, by more than half of their lines, the file itself.
    """
    wanted = query.words
    files = view.others(query.path)
    shared = {file.path: weight(view, wanted & file.words) for file in files}
    best = sorted(files, key=lambda file: (-shared[file.path], file.path))[:FILES]
    return ranked(view, query, [file for file in best if shared[file.path] > 0], limit, SIMILAR)


def ranked(view: View, query: Query, files: Iterable[File], limit: int, kind: str) -> list[Snippet]:
    """The best windows of some files, at most `PER_FILE` of each and `limit` in all."""
    weights = {word: view.weight(word) for word in query.words}
    shared = [
        (math.fsum(weights[word] for word in query.words & window.words), file.path, window)
        for file in files
        for window in windows(file.text)
    ]
    # The union's weight is the dearer part, and what shares little is not like it anyway.
    best = nlargest(LOOKED_AT, shared, key=lambda each: each[0])
    wanted, scored = math.fsum(weights.values()), []
    for common, path, window in best:
        if common > 0:
            union = wanted + weight(view, window.words) - common
            scored.append(Snippet(path, window.text, common / union, kind, window.line))
    scored.sort(key=lambda each: (-each.score, each.path, each.line))
    return _news(scored, query.shown, limit)


def weight(view: View, words: Iterable[str]) -> float:
    """The summed rarity of identifiers, whatever their order."""
    return math.fsum(map(view.weight, words))


def _news(scored: Iterable[Snippet], shown: frozenset[str], limit: int) -> list[Snippet]:
    taken: list[Snippet] = []
    known = set(shown)
    for each in scored:
        if len(taken) == limit:
            break
        of_file = [other for other in taken if other.path == each.path]
        if len(of_file) == PER_FILE or any(overlap(each, other) for other in of_file):
            continue
        lines = telling_lines(each.text)
        if lines and len(lines & known) < KNOWN * len(lines):
            taken.append(each)
            known |= lines
    return taken


def overlap(one: Snippet, other: Snippet) -> bool:
    """Whether two snippets share a line of a file."""
    return one.path == other.path and one.line < other.end and other.line < one.end
