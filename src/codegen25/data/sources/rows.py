"""A row of a table to a document: which columns hold what, as in BigCode's datasets."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codegen25.data.documents import Document
from codegen25.data.languages import EXTENSIONS, language_of
from codegen25.data.sources.manifests import joined
from codegen25.data.sources.reading import MAX_BYTES, Origin, too_large, with_license

TEXT = "content"

_KNOWN = {
    "text": (TEXT, "text", "code"),
    "path": ("max_stars_repo_path", "path", "file_path"),
    "repo": ("max_stars_repo_name", "repo_name", "repo"),
    "license": ("max_stars_repo_licenses", "licenses", "license"),
    "language": ("lang", "language"),
    "stars": ("max_stars_count", "stars"),
}
_LANGUAGE_NAMES = {
    "bash": "shell", "c#": "c-sharp", "c++": "cpp", "csharp": "c-sharp", "js": "javascript",
    "jupyter-notebook": "jupyter", "rst": "restructuredtext", "ts": "typescript",
}  # fmt: skip
# StarCoderData put these before the text of about half of its files, each with probability 0.2.
_PREFIX = re.compile(
    r"(?=<)(?:<reponame>(?P<repo>[^<>\n]*))?(?:<filename>(?P<path>[^<>\n]*))?"
    r"(?:<gh_stars>(?P<stars>[\d+-]*))?\n"
)


@dataclass(frozen=True)
class Columns:
    """Names of columns; an empty one stands for those of BigCode's datasets, the first found.

    path, repo, license, language, stars  of the file that the row holds.
    """

    path: str = ""
    repo: str = ""
    license: str = ""
    language: str = ""
    stars: str = ""


@dataclass(frozen=True)
class RowRule:
    """How rows become documents.

    text                     column of the text; the default takes "text" or "code" too.
    repo, license, language  for rows that name none. A row without a repository is one of its own:
                             nothing else is known of where a split may cut.
    """

    text: str = TEXT
    columns: Columns = field(default_factory=Columns)
    repo: str = ""
    license: str = ""
    language: str = ""
    max_bytes: int = MAX_BYTES

    def names(self, role: str) -> tuple[str, ...]:
        """The columns that may hold a document's text, path, repo, license, language or stars."""
        given = self.text if role == "text" else getattr(self.columns, role)
        return _KNOWN[role] if given in ("", TEXT) else (given,)

    def all_names(self) -> set[str]:
        """The names of all columns that are looked for."""
        return {name for role in _KNOWN for name in self.names(role)}

    def judge(self, row: object, place: str) -> tuple[Document | str, int, str]:
        """The document of a row or why there is none, the text's bytes, and a name for people.

        `place` tells the row in its file; it is the path of one that has none.
        """
        if not isinstance(row, Mapping):
            return "not JSON", 0, place
        text = self._value(row, "text")
        if not isinstance(text, str) or not text:
            return "no text", 0, place
        try:
            size = len(text.encode())
        except UnicodeEncodeError:  # half of a surrogate pair, escaped in JSON
            return "not UTF-8", len(text), place
        document = self._document(row, text, place)
        if size > Origin("", max_bytes=self.max_bytes).limit:
            return too_large(Origin("", max_bytes=self.max_bytes)), size, document.name
        if "\0" in text:
            return "binary", size, document.name
        return (document if document.language else "unknown language"), size, document.name

    def _document(self, row: Mapping[str, Any], text: str, place: str) -> Document:
        prefix = _PREFIX.match(text)
        tags: Mapping[str, str | None] = prefix.groupdict() if prefix else {}
        text = text[prefix.end() if prefix else 0 :].removeprefix("\ufeff").replace("\r\n", "\n")
        path = _text(self._value(row, "path")) or tags.get("path") or ""
        repo = _text(self._value(row, "repo")) or tags.get("repo") or self.repo or place
        stars = _stars(self._value(row, "stars"))
        named = _languages_name(_text(self._value(row, "language")))
        language = language_of(path, text) or named or self.language
        declared = _licenses(self._value(row, "license"))
        return with_license(
            Document(
                text, _clean(path) or place, _clean(repo), declared or self.license, language,
                _stars(tags.get("stars")) if stars is None else stars,
            ),
            Origin(repo, declared=bool(declared)),
        )  # fmt: skip

    def _value(self, row: Mapping[str, Any], role: str) -> Any:
        return next((row[name] for name in self.names(role) if row.get(name) is not None), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _clean(name: str) -> str:
    """A name as it can be written, without the line ends and slashes that would make it another."""
    name = name.encode("utf-8", "replace").decode()
    return " ".join(name.split()).strip("/")


def _stars(value: object) -> int | None:
    """A number of stars, or the least of a range such as "10-100"; None if there is none."""
    if isinstance(value, str):
        match = re.match(r"\d{1,9}", value)
        return int(match[0]) if match else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return int(value)
    return None


def _licenses(value: object) -> str:
    """A licence, or several: the repository holds the texts of all, so all of them bind."""
    if isinstance(value, str):
        return joined([value], "AND")
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return joined([each for each in value if isinstance(each, str)], "AND")
    return ""


def _languages_name(name: str) -> str:
    """Our name of a language as others write it, or empty.

    >>> _languages_name("C++")
    'cpp'
    """
    plain = "-".join(name.lower().replace("_", " ").split())
    plain = _LANGUAGE_NAMES.get(plain, plain)
    return plain if plain in EXTENSIONS else ""
