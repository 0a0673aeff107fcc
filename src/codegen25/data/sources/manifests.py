"""The licence that a package or project declares, in each ecosystem's own file, as SPDX."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from email import message_from_string
from email.message import Message
from pathlib import PurePosixPath
from typing import Any, cast

from codegen25.data.licenses import PERMISSIVE, from_text, license_of
from codegen25.data.sources.license_text import text_license

UNRECOGNIZED = "LicenseRef-unrecognized"
"""For a project that has a licence file which is none of the common licences."""

MAX_BYTES = 1 << 18
"""No licence file or manifest larger than this is read."""

_LICENSE_FILE = re.compile(r"(un)?licen[sc]es?([-._].*)?|copying([-._].*)?", re.IGNORECASE)
_CODE = (".py", ".js", ".ts", ".c", ".h", ".go", ".rs", ".rb", ".java", ".json")
_MANIFESTS = frozenset({"pyproject.toml", "Cargo.toml", "package.json", "PKG-INFO", "METADATA"})
_SPELLED = {name.lower(): name for name in PERMISSIVE}
_SPDX = re.compile(r"[(]*[\w.+-]+[)]*(?: (?:AND|OR|WITH) [(]*[\w.+-]+[)]*)*")


def is_license_file(name: str) -> bool:
    """Whether a file of that name, without folders, holds licence text."""
    return bool(_LICENSE_FILE.fullmatch(name)) and not name.lower().endswith(_CODE)


def tells_license(path: str) -> bool:
    """Whether the file at `path` of an archive may tell the licence of the whole."""
    parts = PurePosixPath(path).parts
    name = parts[-1]
    if name == "copyright":
        return parts[:-2] == ("usr", "share", "doc")
    in_metadata = len(parts) > 1 and any(part.endswith(".dist-info") for part in parts[:-1])
    return (len(parts) <= 2 or in_metadata) and (is_license_file(name) or name in _MANIFESTS)


def project_license(files: Mapping[str, str]) -> str:
    """The licence of a project, from the files of its top folder by name; empty if none is named.

    Licence texts come first, then what pyproject.toml, package.json or Cargo.toml say.
    """
    texts = {name: text for name, text in files.items() if is_license_file(name)}
    found = [name for _, text in sorted(texts.items()) if (name := text_license(text))]
    if found:
        parts = dict.fromkeys(part for name in found for part in name.split(" AND "))
        return " AND ".join(parts)
    readers = (("pyproject.toml", pyproject), ("package.json", package_json), ("Cargo.toml", cargo))
    for manifest, reader in readers:
        if name := reader(files.get(manifest, "")):
            return name
    return UNRECOGNIZED if texts else ""


def core_metadata(text: str) -> str:
    """The licence of a wheel's METADATA or an sdist's PKG-INFO."""
    return _of_message(message_from_string(text))


def pyproject(text: str) -> str:
    """The licence of a pyproject.toml: its expression, classifiers or free text."""
    data = _toml(text)
    project = _table(data.get("project")) or _table(_table(data.get("tool")).get("poetry"))
    message = Message()
    for classifier in _strings(project.get("classifiers")):
        message["Classifier"] = " ".join(classifier.split())
    named = project.get("license")
    if isinstance(named, str):
        message["License-Expression"] = spdx(named)
    elif words := _strings([_table(named).get("text")]):
        message["License"] = words[0].strip().split("\n")[0]
    return _of_message(message)


def package_json(text: str) -> str:
    """The licence of a package.json; `UNLICENSED` stays, for it says that there is none to have."""
    try:
        data = _table(json.loads(text))
    except (ValueError, RecursionError):
        return ""
    named = data.get("license") or data.get("licenses")
    offered = named if isinstance(named, list) else [named]
    names = _strings([_table(each).get("type", each) for each in offered])
    if any(name.upper().startswith("SEE LICEN") for name in names):
        return ""
    return joined(names, "OR")


def cargo(text: str) -> str:
    """The licence of a Cargo.toml, where `/` once meant OR."""
    named = _strings([_table(_toml(text).get("package")).get("license")])
    return spdx(named[0].replace("/", " OR ")) if named else ""


def spdx(words: str) -> str:
    """The SPDX expression of a licence named in words; what is none becomes a `LicenseRef-`.

    >>> spdx("apache-2.0"), spdx("GPL-3.0-only"), spdx("Ask me")
    ('Apache-2.0', 'GPL-3.0-only', 'LicenseRef-Ask-me')
    """
    words = " ".join(words.split())
    named = from_text(words) or ""
    if named and not named.startswith("LicenseRef-"):
        return re.sub(r"[\w.+-]+", lambda word: _SPELLED.get(word[0].lower(), word[0]), named)
    if not words or _SPDX.fullmatch(words):
        return words
    return named or "LicenseRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", words[:60]).strip("-")


def joined(names: list[str], operator: str) -> str:
    """Licence names as one SPDX expression."""
    unique = list(dict.fromkeys(filter(None, map(spdx, names))))
    if len(unique) > 1:
        unique = [f"({name})" if " " in name else name for name in unique]
    return f" {operator} ".join(unique)


def _of_message(message: Message) -> str:
    # license_of asks for importlib's protocol, of which it uses what a message has too.
    return license_of(cast(Any, message)) or ""


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
