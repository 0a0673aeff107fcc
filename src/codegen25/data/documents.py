"""A document on its way through the pipeline, a step that judges it, and the counts kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

GENERATED = "by-grammar-"
"""How repositories are called whose files a grammar of ours has written."""
Mark = tuple[int, str]
"""A character position in a document's text and the special token that stands before it."""


@dataclass(frozen=True)
class Document:
    """One source file, or one record, with where it came from.

    repo      the repository or package; a split never cuts through one.
    path      inside it, with `/`.
    license   SPDX expression, or empty when nothing names one.
    language  a name of `languages.LANGUAGES`.
    stars     of the repository, where known.
    marks     special tokens to insert when the text is encoded, in order: user text never spells
              one, so they are kept apart from it.
    """

    text: str
    path: str
    repo: str
    license: str = ""
    language: str = ""
    stars: int | None = None
    marks: tuple[Mark, ...] = ()

    @property
    def size(self) -> int:
        """Length in UTF-8 bytes."""
        return len(self.text.encode())

    @property
    def name(self) -> str:
        """`repo/path`, for people."""
        return f"{self.repo}/{self.path}"


Step = Callable[[Document], "Document | str"]
"""A pure judgement: the document, changed or not, or the reason why it is dropped."""

EXAMPLES = 3
CHANGED = "changed, not dropped"


@dataclass
class Count:
    """What one step took in, let through and dropped; bytes of UTF-8 text."""

    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    """(draw, reason, name) of at most `EXAMPLES`, drawn by hash so that merging counts in
    any order gives the same."""

    def enter(self, size: int) -> None:
        """Count a document of `size` bytes going in."""
        self.documents_in += 1
        self.bytes_in += size

    def leave(self, size: int) -> None:
        """Count a document of `size` bytes coming out."""
        self.documents_out += 1
        self.bytes_out += size

    def note(self, reason: str, name: str) -> None:
        """Count one dropped for a reason, or `CHANGED`; `name` is `repo/path`."""
        self.reasons[reason] += 1
        draw = hashlib.sha256(f"{reason}\0{name}".encode()).hexdigest()[:16]
        self.examples = sorted([*self.examples, (draw, reason, name)])[:EXAMPLES]

    def add(self, other: Count) -> None:
        """Add another part's counts."""
        self.documents_in += other.documents_in
        self.documents_out += other.documents_out
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.reasons.update(other.reasons)
        self.examples = sorted({*self.examples, *other.examples})[:EXAMPLES]

    def as_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            "documents_in": self.documents_in,
            "documents_out": self.documents_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "reasons": dict(sorted(self.reasons.items())),
            "examples": [list(example) for example in self.examples],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Count:
        """The inverse of `as_json`."""
        examples = [(draw, reason, name) for draw, reason, name in data["examples"]]
        return cls(
            data["documents_in"], data["documents_out"], data["bytes_in"], data["bytes_out"],
            Counter(data["reasons"]), examples,
        )  # fmt: skip


class Tally(dict[str, Count]):
    """The counts of each step by its name, in the order of the steps."""

    def of(self, step: str) -> Count:
        """The count of `step`, made at its first use."""
        return self.setdefault(step, Count())

    def add(self, other: Tally) -> None:
        """Add another part's counts, step by step."""
        for name, count in other.items():
            self.of(name).add(count)


def apply(name: str, step: Step, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
    """Pass `documents` through `step`, counting in `tally` under `name`."""
    count = tally.of(name)
    for document in documents:
        count.enter(document.size)
        result = step(document)
        if isinstance(result, str):
            count.note(result, document.name)
        else:
            if result is not document:
                count.note(CHANGED, document.name)
            count.leave(result.size)
            yield result
