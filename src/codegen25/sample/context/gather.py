"""All sources of context together, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen25.sample.context.definitions import definitions
from codegen25.sample.context.edits import edited
from codegen25.sample.context.query import Query
from codegen25.sample.context.similar import overlap, similar
from codegen25.sample.context.snippet import DEFINITION, EDIT, SIMILAR, Edit, Snippet
from codegen25.sample.context.view import View

WORTH = {DEFINITION: 0.2, EDIT: 1.0, SIMILAR: 1.0}
"""What a source's scores are multiplied with. A definition beside the cursor scores 1 before, and a
window that shares half of its identifiers' weight, which is a near copy, a half; but to the shipped
model windows were worth more than definitions (benchmarks/context.py), so fair windows go
first."""


def gather(
    repository: View, path: str, prefix: str, suffix: str, edits: Sequence[Edit] = ()
) -> list[Snippet]:
    """What other files say about a cursor, the most useful first; no two share a line.

    `path` is the file's, relative to the repository with `/` (see `Repository.relative`); it need
    not be saved, nor exist. The repository is taken as it was last read.
    """
    query = Query.at(path, prefix, suffix)
    found = [
        *definitions(repository, query),
        *edited(repository, query, edits),
        *similar(repository, query),
    ]
    weighed = [replace(each, score=each.score * WORTH[each.kind]) for each in found]
    weighed.sort(key=lambda each: (-each.score, each.path, each.line))
    taken: list[Snippet] = []
    for each in weighed:
        if not any(overlap(each, other) for other in taken):
            taken.append(each)
    return taken
