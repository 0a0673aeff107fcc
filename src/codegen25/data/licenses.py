"""Is a package permissively licensed? Read from its metadata, in the order of trust."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata

_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "zlib/libpng License": "Zlib",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
}
PERMISSIVE = frozenset(_CLASSIFIERS.values()) | {
    "0BSD", "BSD-2-Clause", "BSD-4-Clause", "BSL-1.0", "NCSA", "PIL", "Python-2.0", "W3C",
    "ZPL-2.1",
}  # fmt: skip
"""SPDX identifiers whose terms ask for no more than the notice to be kept."""

_FREE_TEXT = (
    (r"\b(a|l)?gpl|general public|mozilla public|\bmpl\b|eupl|creative commons|proprietary", None),
    (r"\bmit\b", "MIT"),
    (r"\bapache\b.*2|\bapache\b", "Apache-2.0"),
    (r"\b(new |modified |simplified )?bsd\b", "BSD-3-Clause"),
    (r"\bisc\b", "ISC"),
    (r"\bpsf\b|python software foundation", "PSF-2.0"),
    (r"unlicense", "Unlicense"),
)


def license_of(metadata: PackageMetadata) -> str | None:
    """SPDX expression of a distribution, or None when nothing in its metadata names one.

    Sources in order: License-Expression (PEP 639), trove classifiers, the free-text License.
    """
    if expression := _field(metadata, "License-Expression"):
        return expression
    classifiers = [
        str(line).rsplit(" :: ", 1)[-1]
        for line in metadata.get_all("Classifier", [])
        if str(line).startswith("License :: ")
    ]
    names = [name for name in classifiers if name != "OSI Approved"]
    if names:
        return " AND ".join(_CLASSIFIERS.get(name, name.replace(" ", "-")) for name in names)
    text = _field(metadata, "License").splitlines()
    if not text:
        return None
    for pattern, name in _FREE_TEXT:
        if re.search(pattern, text[0], re.IGNORECASE):
            return name
    return None


def _field(metadata: PackageMetadata, name: str) -> str:
    return str(metadata[name] or "").strip() if name in metadata else ""


def is_permissive(expression: str | None) -> bool:
    """Whether all terms that bind the user are permissive: every AND part, one of each OR.

    >>> is_permissive("MIT AND (GPL-2.0-only OR BSD-3-Clause)")
    True
    """
    if not expression:
        return False
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    position = 0

    def factor() -> bool:
        nonlocal position
        if position >= len(tokens):
            return False
        token = tokens[position]
        position += 1
        if token == "(":
            value = either()
            position += 1
            return value
        value = token in PERMISSIVE
        if position < len(tokens) and tokens[position].upper() == "WITH":
            position += 2
        return value

    def both() -> bool:
        nonlocal position
        value = factor()
        while position < len(tokens) and tokens[position].upper() == "AND":
            position += 1
            value = factor() and value
        return value

    def either() -> bool:
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position].upper() == "OR":
            position += 1
            value = both() or value
        return value

    return either() and position == len(tokens)
