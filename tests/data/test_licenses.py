from __future__ import annotations

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.licenses import PERMISSIVE, from_text, is_permissive, license_of, rank


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("MIT AND (GPL-2.0-only OR BSD-3-Clause)", True),
        ("(MIT OR Apache-2.0) AND MPL-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT WITH Commons-Clause", False),
        ("mit or GPL-3.0-only", True),
        ("Apache-1.1", True),
        ("Artistic-1.0", False),
        ("MPL-2.0", False),
        ("CC-BY-4.0", False),
        ("LicenseRef-MIT-like", False),
        ("MIT WITH", False),
        ("MIT AND", False),
        ("MIT Apache-2.0", False),
        ("(MIT", False),
        ("(" * 5000 + "MIT" + ")" * 5000, False),
        ("", False),
        (None, False),
    ],
)
def test_every_binding_term_must_be_permissive(expression: str | None, permissive: bool) -> None:
    assert is_permissive(expression) is permissive


def metadata(**fields: str | list[str]) -> Message:
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


OSI = "License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("fields", "license_"),
    [
        ({"License_Expression": "MIT", "Classifier": OSI + "BSD License"}, "MIT"),
        ({"Classifier": ["License :: OSI Approved", OSI + "MIT License"]}, "MIT"),
        ({"Classifier": OSI + "GNU Affero GPL"}, "GNU-Affero-GPL"),
        ({"License": "BSD 3-Clause"}, "BSD-3-Clause"),
        ({"License": "Apache License, Version 2.0"}, "Apache-2.0"),
        ({"License": "LGPL with MIT parts"}, "LicenseRef-LGPL-with-MIT-parts"),
        ({"License": "UNKNOWN"}, None),
        ({"License": "see file"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_licence_is_found_where_it_stands(fields: dict[str, str], license_: str | None) -> None:
    assert license_of(metadata(**fields)) == license_  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "license_"),
    [
        ("MIT", "MIT"),
        ("mit licence", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("MIT-0", "MIT-0"),
        ("Apache 2", "Apache-2.0"),
        ("ASL 2", "Apache-2.0"),
        ("Apache License", "Apache-2.0"),
        ("Apache Software License v2.0", "Apache-2.0"),
        ("Apache 1.1", "Apache-1.1"),
        ("Apache License, Version 1.1", "Apache-1.1"),
        ("Apache 2.0 with LLVM exception", "LicenseRef-Apache-2.0-with-LLVM-exception"),
        ("MIT with Commons Clause", "LicenseRef-MIT-with-Commons-Clause"),
        ("MIT, but not for commercial use", "LicenseRef-MIT-but-not-for-commercial-use"),
        ("New BSD License", "BSD-3-Clause"),
        ("The BSD 2-Clause License", "BSD-2-Clause"),
        ("3-clause BSD", "BSD-3-Clause"),
        ("MIT OR GPL-3.0-only", "MIT OR GPL-3.0-only"),
        ("MIT or Apache License 2.0", "MIT OR Apache-2.0"),
        ("MIT/Apache-2.0", "MIT AND Apache-2.0"),
        ("MIT, BSD", "MIT AND BSD-3-Clause"),
        ("zlib/libpng", "Zlib"),
        ("GPLv3+", "LicenseRef-GPLv3"),
        ("MIT and GPLv3", "LicenseRef-MIT-and-GPLv3"),
        ("permit everything", None),
        ("see LICENSE", None),
        ("", None),
    ],
)
def test_a_licence_in_words_is_taken_whole_or_not_at_all(line: str, license_: str | None) -> None:
    assert from_text(line) == license_
    assert rank(license_) == (1 if not license_ else 2 if license_.startswith("LicenseRef") else 0)


@given(st.sampled_from(sorted(PERMISSIVE)), st.sampled_from(["GPL-3.0-only", "LicenseRef-x"]))
def test_an_expression_binds_by_its_strictest_part(good: str, bad: str) -> None:
    assert rank(good) == rank(f"{good} OR {bad}") == rank(f"({bad} OR {good}) AND {good}") == 0
    assert rank(bad) == rank(f"{good} AND {bad}") == rank(f"{bad} OR ({good} AND {bad})") == 2
    assert rank("") == rank(None) == 1
