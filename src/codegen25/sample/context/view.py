"""The files of a repository in memory, and how rare each of their identifiers is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from codegen25.sample.context.languages import family
from codegen25.sample.context.modules import Modules
from codegen25.sample.context.words import identifiers


@dataclass(frozen=True)
class File:
    """A source file: its path relative to the repository, with `/`, and its text.

    `modified` is its time of change in nanoseconds. Lines end in `\\n` alone.
    """

    path: str
    text: str
    modified: int = 0
    words: frozenset[str] = field(init=False, repr=False, compare=False)
    family: int | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", identifiers(self.text))
        object.__setattr__(self, "family", family(self.path))


class View:
    """Files by path; what the sources of context look at."""

    def __init__(self, files: Iterable[File] = ()) -> None:
        self.files: dict[str, File] = {}
        self._frequency: Counter[str] = Counter()
        self._weights: dict[str, float] = {}
        self._modules: Modules | None = None
        for file in files:
            self.put(file)

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> View:
        """A view of texts by path."""
        return cls(File(path, text) for path, text in texts.items())

    def put(self, file: File) -> None:
        """Add a file, or take it for the one of the same path."""
        if file.path in self.files:
            self._forget(self.files[file.path])
        else:
            self._modules = None
        self._weights.clear()
        self.files[file.path] = file
        self._frequency.update(file.words)

    def remove(self, path: str) -> None:
        """Drop a file that the view has."""
        self._forget(self.files.pop(path))
        self._modules = None

    def _forget(self, file: File) -> None:
        self._weights.clear()
        for word in file.words:
            if self._frequency[word] > 1:
                self._frequency[word] -= 1
            else:
                del self._frequency[word]

    def others(self, path: str) -> list[File]:
        """The files but that of `path` in its language, or a related one."""
        own = family(path)
        return [file for file in self.files.values() if file.path != path and file.family == own]

    def weight(self, word: str) -> float:
        """How much sharing an identifier says: BM25's inverse document frequency, above 0."""
        if (known := self._weights.get(word)) is None:
            count = self._frequency.get(word, 0)
            known = math.log1p((max(0, len(self.files) - count) + 0.5) / (count + 0.5))
            if count:  # words of the file that is being typed come and go
                self._weights[word] = known
        return known

    @property
    def modules(self) -> Modules:
        """The Python modules among the files."""
        if self._modules is None:
            self._modules = Modules(self.files)
        return self._modules
