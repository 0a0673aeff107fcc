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
_PERMISSIVE = """
0BSD ADSL AFL-1.1 AFL-1.2 AFL-2.0 AFL-2.1 AFL-3.0 AMDPLPA AML AMPAS ANTLR-PD ANTLR-PD-fallback
APAFML Apache-1.0 Apache-1.1 Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause
BSD-2-Clause-FreeBSD BSD-2-Clause-NetBSD BSD-2-Clause-Patent BSD-2-Clause-Views BSD-3-Clause
BSD-3-Clause-Attribution BSD-3-Clause-Clear BSD-3-Clause-LBNL BSD-3-Clause-Modification
BSD-3-Clause-No-Nuclear-License-2014 BSD-3-Clause-No-Nuclear-Warranty BSD-3-Clause-Open-MPI
BSD-4-Clause BSD-4-Clause-Shortened BSD-4-Clause-UC BSD-Source-Code BSL-1.0 Bahyph Barr
BlueOak-1.0.0 CC0-1.0 CNRI-Jython CNRI-Python CNRI-Python-GPL-Compatible Cube DSDP ECL-1.0
ECL-2.0 Entessa FTL HPND HTMLTIDY IBM-pibs ICU ISC ImageMagick Info-ZIP Intel JasPer-2.0
Libpng Linux-OpenIB MIT MIT-0 MIT-CMU MIT-Modern-Variant MIT-advertising MIT-enna MIT-feh
MIT-open-group MITNFA MS-PL MTLL MulanPSL-1.0 MulanPSL-2.0 Multics Mup NCSA NTP Naumen
Net-SNMP NetCDF OLDAP-2.0 OLDAP-2.0.1 OLDAP-2.1 OLDAP-2.2 OLDAP-2.2.1 OLDAP-2.2.2 OLDAP-2.3
OLDAP-2.4 OLDAP-2.5 OLDAP-2.6 OLDAP-2.7 OLDAP-2.8 OML OpenSSL PHP-3.0 PHP-3.01 PIL PSF-2.0
Plexus PostgreSQL Python-2.0 Python-2.0.1 SGI-B-2.0 SMLNJ SWL Saxpath Spencer-99 TCL
TCP-wrappers UPL-1.0 Unicode-3.0 Unicode-DFS-2015 Unicode-DFS-2016 Unlicense VSL-1.0 W3C
WTFPL X11 XFree86-1.1 Xerox Xnet ZPL-2.0 ZPL-2.1 Zlib bzip2-1.0.5 bzip2-1.0.6 curl eGenix
libpng-2.0 libtiff xpp zlib-acknowledgement
"""
PERMISSIVE = frozenset(_PERMISSIVE.split())
"""SPDX identifiers whose terms ask for no more than the notice to be kept: the Blue Oak Council's
list of permissive licences down to bronze, and HPND, PIL (its old name), Python-2.0.1, Unicode-3.0
and WTFPL. Two of bronze, which ask more of a changed copy than a notice, are left out: LPPL-1.3c
and Ruby."""

OWN = "LicenseRef-own"
"""What a user's own code stands under where only permissive terms are taken from others."""
_BY_NAME = {name.lower(): name for name in PERMISSIVE}

_V2 = r"(?:v(?:ersion|er)?\.? ?)?2(?:\.0)?"
_WAYS_TO_WRITE = {
    "MIT": r"mit(?: \(mit\))?|expat",
    "MIT-0": r"mit[- ]?0|mit no attribution",
    "Apache-2.0": rf"(?:apache|asl)(?: software)?(?:,?[ -]?{_V2})?",
    "Apache-1.1": r"apache(?: software)?,?[ -](?:v(?:ersion)? ?)?1\.1",
    "BSD-2-Clause": r"(?:simplified|freebsd) bsd|bsd[- ]\(?(?:2|two)[- ]clause\)?"
    r"|(?:2|two)[- ]clause bsd",
    "BSD-3-Clause": r"(?:(?:new|modified|revised) )?bsd|bsd[- ]\(?(?:3|three)[- ]clause\)?"
    r"|(?:3|three)[- ]clause bsd",
    "ISC": r"isc(?: \(iscl\))?|iscl",
    "PSF-2.0": r"(?:psf|python software foundation)(?:[- ]2(?:\.0)?)?|psfl",
    "Unlicense": r"unlicense(?: \(unlicense\))?",
    "Zlib": r"zlib(?:/libpng)?",
    "BSL-1.0": r"boost(?: software)?(?:[ -]+(?:version )?1\.0)?",
    "CC0-1.0": r"cc0(?:[- ]1\.0)?(?: universal)?",
}
_OTHER = re.compile(
    r"gpl|general public|mozilla|\bmpl\b|\bmit\b|\bbsd\b|apache|eupl|\bepl\b|eclipse|cddl|cecill"
    r"|creative ?commons|\bcc[- ]by|commons clause|proprietary|commercial|all rights reserved"
    r"|\bsspl\b|server side|\bbusl\b|business source|elastic|polyform|\blppl\b|artistic",
    re.IGNORECASE,
)
"""Words by which a line names a licence, if not one that we take for permissive."""


def license_of(metadata: PackageMetadata) -> str | None:
    """SPDX expression of a distribution, or None when nothing in its metadata names one.

    Sources in order: License-Expression (PEP 639), trove classifiers, the free-text License. What
    names a licence in words not known becomes `LicenseRef-…`, which is not permissive.
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
    return from_text(text[0]) if text else None


def _field(metadata: PackageMetadata, name: str) -> str:
    return str(metadata[name] or "").strip() if name in metadata else ""


def from_text(line: str) -> str | None:
    """SPDX expression of a licence named in words, or None when the line names none.

    The whole line must be known ways to write licences, joined by "or", "and", "/" or a comma:
    "Apache 1.1" is not Apache-2.0 and "MIT with Commons Clause" is not MIT.

    >>> from_text("MIT license or Apache 2.0"), from_text("MIT with Commons Clause")
    ('MIT OR Apache-2.0', 'LicenseRef-MIT-with-Commons-Clause')
    """
    line = " ".join(line.split())
    if is_permissive(line):
        return line
    if name := _one(line.lower()):
        return name
    parts = re.split(r"\s+(or|and)\s+|\s*[,;&|/]\s*", line.lower())
    names = [name for name in map(_one, parts[::2]) if name]
    if len(names) == len(parts[::2]):
        return (" OR " if set(parts[1::2]) == {"or"} else " AND ").join(names)
    if not _OTHER.search(line):
        return None
    return "LicenseRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", line[:60]).strip("-")


def _one(words: str) -> str | None:
    words = words.strip(" .\"'")
    if words in _BY_NAME:
        return _BY_NAME[words]
    core = re.sub(r"^the | licen[sc]ed?\b", "", words)
    ways = _WAYS_TO_WRITE.items()
    return next((name for name, way in ways if re.fullmatch(way, core)), None)


def rank(expression: str | None) -> int:
    """0 for permissive terms, 1 where none are named, 2 for others: what to keep of duplicates.

    The order of BigCode's deduplication.
    """
    if not expression:
        return 1
    if expression == OWN:
        return 0
    return 0 if is_permissive(expression) else 2


def is_permissive(expression: str | None) -> bool:
    """Whether all terms that bind the user are permissive: every AND part, one of each OR.

    >>> is_permissive("MIT AND (GPL-2.0-only OR BSD-3-Clause)")
    True
    """
    if not expression or expression.count("(") > 50:
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
        value = token.lower().removesuffix("+") in _BY_NAME
        if position < len(tokens) and tokens[position].upper() == "WITH":
            # SPDX exceptions grant more; anything else after WITH may take away.
            value = value and "exception" in "".join(tokens[position + 1 : position + 2]).lower()
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
