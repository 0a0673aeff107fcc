"""A document on its way through the pipeline, and the counts kept of each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """One source file with where it came from."""

    text: str
    path: str
    package: str
    license: str

    @property
    def size(self) -> int:
        """Length in UTF-8 bytes."""
        return len(self.text.encode())


@dataclass
class Tally:
    """What each step let through and why it dropped the rest, per package."""

    kept: Counter[str] = field(default_factory=Counter)
    kept_bytes: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)

    def drop(self, package: str, reason: str) -> None:
        """Count one file of `package` that was left out for `reason`."""
        self.dropped.setdefault(package, Counter())[reason] += 1

    def keep(self, document: Document) -> None:
        """Count one document that reached the corpus."""
        self.kept[document.package] += 1
        self.kept_bytes[document.package] += document.size


def keep_unless(
    documents: Iterable[Document], reason_to_drop: Callable[[Document], str | None], tally: Tally
) -> Iterator[Document]:
    """Pass on the documents for which `reason_to_drop` has nothing to say."""
    for document in documents:
        reason = reason_to_drop(document)
        if reason is None:
            yield document
        else:
            tally.drop(document.package, reason)
