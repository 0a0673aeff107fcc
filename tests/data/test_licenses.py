from __future__ import annotations

from email.message import Message

import pytest

from codegen25.data.licenses import is_permissive, license_of


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
        ("MIT AND", False),
        ("MIT Apache-2.0", False),
        ("(MIT", False),
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
        ({"License": "LGPL with MIT parts"}, None),
        ({"License": "see file"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_licence_is_found_where_it_stands(fields: dict[str, str], license_: str | None) -> None:
    assert license_of(metadata(**fields)) == license_  # type: ignore[arg-type]
