"""A piece of another file, and why it was taken."""

from __future__ import annotations

from dataclasses import dataclass

DEFINITION = "definition"
EDIT = "edit"
SIMILAR = "similar"


@dataclass(frozen=True)
class Snippet:
    """Text of another file that may help at the cursor.

    path   of the file, relative to the repository, with `/`.
    text   whole lines, without the newline of the last.
    score  above 0; the higher, the sooner it is shown. Only their order matters.
    kind   `DEFINITION`, `SIMILAR` or `EDIT`.
    line   of the file, from 1, at which the text starts.
    """

    path: str
    text: str
    score: float
    kind: str
    line: int = 1

    @property
    def end(self) -> int:
        """The line after the last."""
        return self.line + self.text.count("\n") + 1


@dataclass(frozen=True)
class Edit:
    """A region that the user has changed lately; `time` in seconds, on any clock."""

    path: str
    text: str
    time: float
