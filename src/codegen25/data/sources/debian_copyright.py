"""The licence in a Debian package's copyright file, machine-readable (DEP 5) or not."""

from __future__ import annotations

import re

from codegen25.data.licenses import is_permissive
from codegen25.data.sources.license_text import text_license
from codegen25.data.sources.manifests import spdx

_NAMES = {
    "0bsd": "0BSD", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0", "boost": "BSL-1.0",
    "boost-1.0": "BSL-1.0", "bsl-1.0": "BSL-1.0", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause", "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0", "expat": "MIT", "isc": "ISC", "mit": "MIT", "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0", "psf-2": "PSF-2.0", "psf-2.0": "PSF-2.0", "python-2.0": "Python-2.0",
    "unlicense": "Unlicense", "zlib": "Zlib", "zlib/libpng": "Zlib",
}  # fmt: skip
_GNU = re.compile(r"(a|l)?gpl-(\d)(\.\d)?(\+?)", re.IGNORECASE)
_FIELD = re.compile(r"(?P<name>[A-Za-z][\w-]*):[ \t]*(?P<value>.*(?:\n[ \t].*)*)")


def copyright_license(text: str) -> str:
    """The SPDX expression of what stands for `Files: *`, else of the licence text in it.

    Empty when the file names none that is known. A short name that SPDX does not have becomes a
    `LicenseRef-`.

    >>> copyright_license("Files: *\\nCopyright: A. Author\\nLicense: Expat or GPL-2+\\n")
    'MIT OR GPL-2.0-or-later'
    """
    for stanza in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields = {match["name"].lower(): match["value"] for match in _FIELD.finditer(stanza)}
        if "*" in fields.get("files", "").split() and fields.get("license", "").strip():
            return _expression(fields["license"].strip().split("\n")[0])
    return text_license(text)


def _expression(words: str) -> str:
    """DEP 5's `A or B, and C`: `and` binds before `or`, and both before what follows a comma."""
    parts = re.split(r",\s*(and|or)\s+", words.strip())
    expression = _simple(parts[0])
    for operator, part in zip(parts[1::2], parts[2::2], strict=True):
        expression = f"{_grouped(expression)} {operator.upper()} {_grouped(_simple(part))}"
    return expression


def _grouped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


def _simple(words: str) -> str:
    # An exception only adds permissions; without it the licence is taken as stricter than it is.
    words = re.sub(r"\s+with\s.*?\bexceptions?\b", "", words, flags=re.IGNORECASE)
    tokens = re.split(r"\s+(and/or|and|or)\s+", words.strip().rstrip(","))
    return " ".join(
        _name(token) if index % 2 == 0 else {"and": "AND"}.get(token, "OR")
        for index, token in enumerate(tokens)
    )


def _name(short: str) -> str:
    short = short.strip(" ,")
    if known := _NAMES.get(short.lower()):
        return known
    if match := _GNU.fullmatch(short):
        suffix = "or-later" if match[4] else "only"
        return f"{(match[1] or '').upper()}GPL-{match[2]}{match[3] or '.0'}-{suffix}"
    named = spdx(re.sub(r"[^A-Za-z0-9.+-]+", " ", short))
    # Debian's short names look like SPDX's without being them.
    if is_permissive(named) or not named:
        return named or "LicenseRef-unnamed"
    return "LicenseRef-" + named.removeprefix("LicenseRef-").replace(" ", "-").replace("+", "-plus")
