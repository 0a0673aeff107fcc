"""Regions that were changed lately: what the user works on says what comes next.

An editor knows them best and hands them in. Without, the times of the files tell which are being
worked on, and their windows most like the cursor's stand in.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen25.sample.context.query import Query, telling_lines
from codegen25.sample.context.similar import KNOWN, ranked, weight, windows
from codegen25.sample.context.snippet import EDIT, Edit, Snippet
from codegen25.sample.context.view import File, View

LIMIT = 6
RECENT = 8
"""Files that count as recently changed, at most."""
WORKED_ON = 4 * 3600 * 10**9
"""Nanoseconds before the newest change that still are the same sitting."""
FRESH = 0.25
"""Where more than this share of the files changed in one sitting nobody edited them: a checkout
gives all of them the same time."""


def edited(view: View, query: Query, edits: Sequence[Edit] = ()) -> list[Snippet]:
    """Recently changed regions, the most useful first: by recency and likeness to the cursor.

    `edits` in any order; of a long one the window most like the cursor's. Without any, windows of
    the files in the same language that were changed last. What the file shows itself is left out.
    """
    if edits:
        return _given(view, query, edits)
    files = recent(view, query.path)
    order = {file.path: rank for rank, file in enumerate(files)}
    found = ranked(view, query, files, LIMIT, EDIT)
    scored = [_scored(each, each.score, order[each.path]) for each in found]
    return sorted(scored, key=lambda each: (-each.score, each.path, each.line))


def recent(view: View, path: str) -> list[File]:
    """The other files in the language of `path` that are being worked on, the newest first."""
    newest = max((file.modified for file in view.files.values()), default=0)
    sitting = {file.path for file in view.files.values() if newest - file.modified <= WORKED_ON}
    if len(sitting) > max(1, FRESH * len(view.files)):
        return []
    files = [file for file in view.others(path) if file.path in sitting]
    return sorted(files, key=lambda file: (-file.modified, file.path))[:RECENT]


def _given(view: View, query: Query, edits: Sequence[Edit]) -> list[Snippet]:
    wanted, shown = query.words, set(query.shown)
    weight_of_wanted = weight(view, wanted) or 1.0
    found: list[Snippet] = []
    newest_first = sorted(edits, key=lambda edit: (-edit.time, edit.path, edit.text))
    for rank, edit in enumerate(newest_first[: 4 * LIMIT]):
        options = [
            (weight(view, wanted & window.words) / weight_of_wanted, window)
            for window in windows(edit.text.strip("\n"))
        ]
        if not options:
            continue
        likeness, window = max(options, key=lambda option: (option[0], -option[1].line))
        lines = telling_lines(window.text)
        if lines and len(lines & shown) < KNOWN * len(lines):
            shown |= lines
            snippet = Snippet(edit.path, window.text, likeness, EDIT, window.line)
            found.append(_scored(snippet, likeness, rank))
    return sorted(found, key=lambda each: (-each.score, each.path, each.line))[:LIMIT]


def _scored(snippet: Snippet, likeness: float, rank: int) -> Snippet:
    """Recency alone is worth something: a repeated change looks like nothing around it yet."""
    score = likeness * (1 + 1 / (1 + rank)) / 2 + 0.1 / (1 + rank)
    return Snippet(snippet.path, snippet.text, score, EDIT, snippet.line)
