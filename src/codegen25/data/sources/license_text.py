"""Which licence is a text? By phrases that each of the common ones is bound to hold."""

from __future__ import annotations

import re

_HEADER_CHARACTERS = 3000
_ID = r"\(*[A-Za-z0-9][\w.+-]*\)*"
_HEADER = re.compile(
    rf"^[^\w\n\"'`]*SPDX-License-Identifier:[ \t]*({_ID}(?:[ \t]+(?:AND|OR|WITH)[ \t]+{_ID})*)",
    re.MULTILINE,
)

_PHRASES = (
    ("Apache-2.0", r"apache license version 2\.0 january 2004"),
    ("Apache-2.0", r"licensed under the apache license version 2\.0"),
    ("MPL-2.0", r"mozilla public license (?:version|v) 2\.0"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", r"\bcc0 1\.0 universal"),
    ("PSF-2.0", r"python software foundation license version 2\b"),
    ("BSL-1.0", r"boost software license version 1\.0"),
    ("Zlib", r"without any express or implied warranty .{,700}altered source versions must be"),
    ("HPND", r"copy modify and distribute this software and its documentation for any purpose "
             r"and without fee is hereby granted"),
)  # fmt: skip
_MIT = re.compile(
    r"permission is hereby granted free of charge to any person obtaining a copy of this software "
    r"and associated documentation files(?P<rest>.{,1200})"
)
_ISC = re.compile(
    r"permission to use copy modify and(?: or)? distribute this software for any purpose "
    r"with or without fee is hereby granted(?P<condition> provided that)?"
)
_BSD = re.compile(
    r"redistribution and use in source and binary forms with or without modification are permitted"
    r"(?P<rest>.{,1800})"
)
_GNU = r"gnu (?P<kind>affero |lesser |library |)general public licen[sc]e "
_VERSION = r"(?:either )?version (?P<version>\d(?:\.\d)?)"
_FOUNDATION = r"as published by the free software foundation"
_GNU_TITLE = re.compile(rf"{_GNU}{_VERSION} (?:\d+ )?(?:february|june|november) \d{{4}}")
_GNU_NOTICES = (
    re.compile(rf"{_GNU}{_FOUNDATION} {_VERSION}(?P<end>.{{,70}})"),
    re.compile(rf"{_GNU}{_VERSION} (?P<end>.{{,70}}?){_FOUNDATION}"),
)
_GNU_NAMES = {"": "GPL", "affero ": "AGPL", "lesser ": "LGPL", "library ": "LGPL"}


def header_license(text: str) -> str:
    """What a source file's own `SPDX-License-Identifier` comment says, or empty.

    >>> header_license("// SPDX-License-Identifier: MIT OR Apache-2.0\\nint x;")
    'MIT OR Apache-2.0'
    """
    match = _HEADER.search(text[:_HEADER_CHARACTERS])
    return match[1] if match else ""


def text_license(text: str) -> str:
    """The SPDX expression of a licence's text, or of a notice that names it; empty if unknown.

    A text that holds several stands under all of them: they are joined by AND. One with the
    Commons Clause, which takes the right to sell back, is none of them.
    """
    plain = _plain(text)
    if "commons clause" in plain:
        return ""
    found: dict[str, int] = {}
    for name, pattern in _PHRASES:
        for match in re.finditer(pattern, plain):
            found.setdefault(name, match.start())
    for start, name in (*_conditional(plain), *_gnu(plain)):
        found.setdefault(name, start)
    return " AND ".join(sorted(found, key=lambda name: (found[name], name)))


def _plain(text: str) -> str:
    """Lower-case words and version numbers, one space between."""
    words = re.sub(r"[^a-z0-9.]+", " ", text.lower())
    return re.sub(r" +", " ", re.sub(r"\.(?!\d)", " ", words))


def _conditional(plain: str) -> list[tuple[int, str]]:
    """The licences that come in variants: where each stands, and which it is."""
    found = []
    for match in _MIT.finditer(plain):
        name = "MIT" if "shall be included in all" in match["rest"] else "MIT-0"
        if "used for good not evil" in match["rest"]:
            name = "JSON"
        found.append((match.start(), name))
    for match in _ISC.finditer(plain):
        found.append((match.start(), "ISC" if match["condition"] else "0BSD"))
    for match in _BSD.finditer(plain):
        name = "BSD-2-Clause"
        if "advertising materials" in match["rest"]:
            name = "BSD-4-Clause"
        elif "to endorse or promote" in match["rest"]:
            name = "BSD-3-Clause"
        found.append((match.start(), name))
    return found


def _gnu(plain: str) -> list[tuple[int, str]]:
    """GNU licences by their titles; without a title, by the notice in which one is named.

    The full texts mention one another, and end with the notice as an example.
    """
    if titles := list(_GNU_TITLE.finditer(plain)):
        return [(match.start(), _gnu_name(match, "only")) for match in titles]
    return [
        (match.start(), _gnu_name(match, "or-later" if "any later" in match["end"] else "only"))
        for notice in _GNU_NOTICES
        for match in notice.finditer(plain)
    ]


def _gnu_name(match: re.Match[str], suffix: str) -> str:
    version = match["version"] if "." in match["version"] else match["version"] + ".0"
    return f"{_GNU_NAMES[match['kind']]}-{version}-{suffix}"
