from __future__ import annotations

import json

import pytest

from codegen25.data.licenses import is_permissive
from codegen25.data.sources import manifests
from codegen25.data.sources.debian_copyright import copyright_license
from codegen25.data.sources.license_text import header_license, text_license
from codegen25.data.sources.manifests import UNRECOGNIZED, project_license, tells_license

MIT = """Copyright (c) 2020 A. Author

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.
"""
BSD2 = """Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
1. Redistributions of source code must retain the above copyright notice.
2. Redistributions in binary form must reproduce the above copyright notice.
"""
BSD3 = (
    BSD2
    + "3. Neither the name of X nor those of its contributors may be used to endorse or promote"
)
ISC = """Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted"""
NOTICE = """under the terms of the GNU {kind}General Public License as published by the
Free Software Foundation; {version}."""
LATER = "either version {} of the License, or (at your option) any later version"
GPL3 = (
    "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n … use the GNU Lesser General Public "
    "License instead. " + NOTICE.format(kind="", version=LATER.format(3))
)
MPL = """Mozilla Public License Version 2.0
1.12. "Secondary License" means either the GNU General Public License, Version 2.0, the GNU
Lesser General Public License, Version 2.1, or any later versions of those licenses."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (MIT.replace("\n", "\n * ").upper(), "MIT"),
        (MIT[: MIT.index("The above")], "MIT-0"),
        (MIT + "The Software shall be used for Good, not Evil.", "JSON"),
        (MIT + '"Commons Clause" License Condition v1.0', ""),
        (BSD2, "BSD-2-Clause"),
        (BSD3, "BSD-3-Clause"),
        (BSD2 + "3. All advertising materials mentioning features", "BSD-4-Clause"),
        (ISC + ", provided that the above copyright notice appear", "ISC"),
        (ISC + ".", "0BSD"),
        ("Apache License\n    Version 2.0, January 2004\n", "Apache-2.0"),
        ('Licensed under the Apache License, Version 2.0 (the "License");', "Apache-2.0"),
        (MPL, "MPL-2.0"),
        ("This is free and unencumbered software released into the public domain.", "Unlicense"),
        ("Creative Commons Legal Code\n\nCC0 1.0 Universal\n", "CC0-1.0"),
        ("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n" + ISC + ".", "PSF-2.0 AND 0BSD"),
        ("GNU GENERAL PUBLIC LICENSE\nVersion 2, June 1991", "GPL-2.0-only"),
        (GPL3, "GPL-3.0-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "LGPL-2.1-only"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007", "AGPL-3.0-only"),
        (NOTICE.format(kind="", version=LATER.format(2)), "GPL-2.0-or-later"),
        (NOTICE.format(kind="Lesser ", version=LATER.format("2.1")), "LGPL-2.1-or-later"),
        (NOTICE.format(kind="", version="version 2"), "GPL-2.0-only"),
        ("the GNU General Public License version 2 as published by the Free Software Foundation",
         "GPL-2.0-only"),
        (MIT + GPL3, "MIT AND GPL-3.0-only"),
        ("All rights reserved.", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_licence_texts(text: str, expected: str) -> None:
    assert text_license(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# SPDX-License-Identifier: MIT\nx = 1\n", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n",
         "GPL-2.0-only WITH Linux-syscall-note"),
        ("#!/bin/sh\n# SPDX-License-Identifier: (MIT OR Apache-2.0)\n", "(MIT OR Apache-2.0)"),
        ("<!-- SPDX-License-Identifier: CC0-1.0 -->", "CC0-1.0"),
        ('NOTICE = "SPDX-License-Identifier: MIT"\n', ""),
        ("'SPDX-License-Identifier: MIT'\n", ""),
        ("x = 1\n" * 1000 + "# SPDX-License-Identifier: MIT\n", ""),
    ],
)  # fmt: skip
def test_headers(text: str, expected: str) -> None:
    assert header_license(text) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"LICENSE": MIT}, "MIT"),
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": "Apache License Version 2.0, January 2004"},
         "Apache-2.0 AND MIT"),
        ({"LICENSE": "Ours, not yours."}, UNRECOGNIZED),
        ({"LICENSE": "See the manifest.", "package.json": '{"license": "ISC"}'}, "ISC"),
        ({"license.py": MIT}, ""),
        ({"pyproject.toml": '[project]\nlicense = "MIT OR Apache-2.0"'}, "MIT OR Apache-2.0"),
        ({"pyproject.toml": '[project]\nlicense = {text = "MIT License"}'}, "MIT"),
        ({"pyproject.toml": "[project]\nclassifiers = "
          '["License :: OSI Approved :: ISC License (ISCL)"]'}, "ISC"),
        ({"pyproject.toml": '[tool.poetry]\nlicense = "Apache-2.0"'}, "Apache-2.0"),
        ({"pyproject.toml": "not [toml"}, ""),
        ({"Cargo.toml": '[package]\nlicense = "MIT/Apache-2.0"'}, "MIT OR Apache-2.0"),
        ({}, ""),
    ],
)  # fmt: skip
def test_projects(files: dict[str, str], expected: str) -> None:
    assert project_license(files) == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"license": "(MIT OR GPL-3.0-only)"}, "(MIT OR GPL-3.0-only)"),
        ({"license": {"type": "bsd-3-clause"}}, "BSD-3-Clause"),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, "MIT OR Apache-2.0"),
        ({"license": "SEE LICENSE IN LICENSE.md"}, ""),
        ({"license": "UNLICENSED"}, "UNLICENSED"),
        ({"license": 7}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_package_json(named: object, expected: str) -> None:
    assert manifests.package_json(json.dumps(named)) == expected
    assert manifests.package_json("{") == ""


def test_a_refusal_to_license_is_neither_permissive_nor_silence() -> None:
    for license_ in ("UNLICENSED", UNRECOGNIZED, manifests.spdx("Ask me first")):
        assert license_ and not is_permissive(license_)


def test_core_metadata() -> None:
    assert manifests.core_metadata("Metadata-Version: 2.4\nLicense-Expression: MIT\n\n") == "MIT"
    assert manifests.core_metadata("") == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Expat", "MIT"),
        ("Zlib", "Zlib"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("AGPL-3+", "AGPL-3.0-or-later"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR LicenseRef-Artistic"),
        ("GPL-2+ with OpenSSL exception", "GPL-2.0-or-later"),
        ("Expat and BSD-3-clause", "MIT AND BSD-3-Clause"),
        ("Expat or GPL-2, and ISC", "(MIT OR GPL-2.0-only) AND ISC"),
        ("public-domain", "LicenseRef-public-domain"),
    ],
)
def test_debian_short_names(words: str, expected: str) -> None:
    stanza = (
        f"Format: x\n\nFiles: *\nCopyright: A\nLicense: {words}\n The text.\n\nFiles: debian/*\n"
    )
    assert copyright_license(stanza) == expected


def test_a_copyright_file_in_prose_is_read_as_text() -> None:
    assert copyright_license("This package was debianized by B.\n\n" + MIT) == "MIT"
    assert copyright_license("Files: a/*\nLicense: Expat\n") == ""
    assert copyright_license("") == ""


@pytest.mark.parametrize(
    ("path", "tells"),
    [
        ("LICENSE", True), ("pkg-1.0/LICENSE.txt", True), ("package/package.json", True),
        ("pkg-1.0.dist-info/licenses/LICENSE", True), ("pkg-1.0.dist-info/METADATA", True),
        ("usr/share/doc/zlib1g-dev/copyright", True), ("a/b/LICENSE", False),
        ("src/licenses.py", False), ("copyright", False), ("README.md", False),
    ],
)  # fmt: skip
def test_files_that_tell_the_licence(path: str, tells: bool) -> None:
    assert tells_license(path) is tells
