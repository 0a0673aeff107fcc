from __future__ import annotations

import pickle
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data import filters
from codegen25.data.documents import Document
from codegen25.data.filters import Filters
from codegen25.errors import UserError

BODY = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(10))
PROSE = "The cat sat on the mat and looked at the moon for a while. " * 4


def document(text: str = BODY, path: str = "pkg/mod.py", language: str = "python") -> Document:
    return Document(text, path, "pkg", "MIT", language)


def reason(result: Document | str) -> str | None:
    return result if isinstance(result, str) else None


@pytest.mark.parametrize(
    ("path", "language", "expected"),
    [
        ("pkg/mod.py", "python", None),
        ("pkg/_vendor/mod.py", "python", "vendored"),
        ("pkg/packages/mod.py", "python", "vendored"),
        ("packages/core/index.js", "javascript", None),
        ("Third_Party/a.c", "c", "vendored"),
        ("web/node_modules/a/index.js", "javascript", "vendored"),
        ("js/jquery-3.6.0.js", "javascript", "vendored"),
        ("js/jquery.slim.js", "javascript", "vendored"),
        ("js/jquery-plugin-of-mine.ts", "typescript", None),
        ("js/app.min.js", "javascript", "minified"),
        ("js/app.bundle.js", "javascript", "minified"),
        ("js/minimum.js", "javascript", None),
        ("dist/app.js", "javascript", "generated"),
        ("dist/app.py", "python", None),
        ("package-lock.json", "json", "lock file"),
        ("pnpm-lock.yaml", "yaml", "lock file"),
        ("src/lock.py", "python", None),
        ("pkg/schema_pb2.py", "python", "generated"),
        ("api/schema.pb.go", "go", "generated"),
        ("ui/Form.Designer.cs", "c-sharp", "generated"),
        ("src/parser.tab.c", "c", "generated"),
        ("pkg/generator.py", "python", None),
    ],
)
def test_paths(path: str, language: str, expected: str | None) -> None:
    assert reason(filters.path(document(path=path, language=language))) == expected


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("pkg/tests/helper.py", True),
        ("pkg/test_mod.py", True),
        ("pkg/mod_test.go", True),
        ("src/app.spec.ts", True),
        ("src/UserServiceTest.java", True),
        ("src/Latest.java", False),
        ("pkg/contest.py", False),
        ("pkg/attestation.py", False),
    ],
)
def test_tests_are_kept_unless_refused(path: str, is_test: bool) -> None:
    assert reason(filters.path(document(path=path))) is None
    assert reason(filters.path(document(path=path), tests=False)) == ("test" if is_test else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BODY, None),
        ("x = 1\n", "short"),
        ("<?xml version='1.0'?>\n" + BODY, "XML"),
        (BODY + "x = '" + "a" * 2000 + "'\n", "long lines"),
        (BODY.replace("\n\n", "\n\n# " + "word " * 100 + "\n"), "long lines"),
        (("x = [" + "'!', " * 12 + "]\n") * 20, "few letters"),
        (("é = [" + "'!', " * 12 + "]\n") * 20, "few letters"),
    ],
)
def test_texts(text: str, expected: str | None) -> None:
    assert reason(filters.text_rules(document(text))) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("markdown", "# Title\n" + PROSE * 10, None),
        ("markdown", "| - | - |\n" * 30, None),
        ("restructuredtext", PROSE * 10, None),
        ("javascript", PROSE * 10, "long lines"),
        ("sql", "SELECT '" + PROSE * 10 + "';\n", None),
        ("json", '{"name": "' + PROSE + '"}', None),
        ("json", "[" + "1, 2, 3, " * 30 + "4]", "few letters"),
        ("json", '{"name": "' + PROSE * 30 + '"}', "large data"),
        ("yaml", "a: 1\nb: 2\n" * 20, "few letters"),
        ("html", "<html><body>" + f"<p>{PROSE}</p>\n" * 2 + "</body></html>", "long lines"),
        ("html", "<html>\n" + "<p>The cat sat on the mat.</p>\n" * 9 + "</html>", None),
        ("html", "<html>\n" + "<p>cat</p>\n" * 12 + "</html>", "markup"),
        ("html", "<p>\n" + "<div id='menu' class='left'></div>\n" * 30 + PROSE[:99], "markup"),
        ("html", "<script>\n" + "call('with some words');\n" * 30 + "</script>", "markup"),
        ("html", "<p>\n" + "<i>The cat sat on a mat</i>\n" * 30 + "<!-" * 9, None),
    ],
)
def test_the_rules_of_a_language(language: str, text: str, expected: str | None) -> None:
    assert reason(filters.text_rules(document(text, "a", language))) == expected


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p class='a'>1 &lt; 2<br/>and</P>", "1 < 2and"),
        ("<script>if (a<b) {}</script>c<STYLE>p{}</STYLE >d", "cd"),
        ("a<!-- <p> -->b<!-- c", "ab"),
        ("<!DOCTYPE html><?php ?>a < b > c", "a < b > c"),
    ],
)
def test_the_text_that_a_page_shows(page: str, text: str) -> None:
    assert filters.shown(page) == text


def test_a_page_of_unfinished_tags_is_read_in_time() -> None:
    for unit, text in [("<a ", "<a "), ("<a b='", "<a b='"), ("<!--", ""), ("<script>", "")]:
        assert filters.shown(unit * 30_000) == text * 30_000


@pytest.mark.parametrize(
    ("language", "head", "expected"),
    [
        ("python", "# This file was generated by a tool. DO NOT EDIT.\n", True),
        ("python", "#!/usr/bin/env python\n# Generated by Django 4.2 on 2024-01-01\n", True),
        ("python", "# autogenerated from grammar.txt\n", True),
        ("python", "# This module is\n# automatically generated.\n", True),
        ("python", "# @generated\n", True),
        ("go", "// Code generated by stringer; DO NOT EDIT.\n", True),
        ("java", "/**\n * Autogenerated by Thrift\n */\n", True),
        ("c-sharp", "// <auto-generated>\n//  x\n", True),
        ("sql", "-- This file is generated automatically by x\n", True),
        ("html", "<!-- Generated by javadoc -->\n", True),
        ("html", '<meta name="generator" content="Doxygen">\n', True),
        ("css", "/* do not edit this file: it is written by sass */\n", True),
        ("lua", "--[[\n  DO NOT EDIT\n]]\n", True),
        # what only speaks of generated files
        ("python", '"""Write files that say: this file was generated, DO NOT EDIT."""\n', False),
        ("python", 'HEAD = """\n# Generated by us, do not edit.\n"""\n', False),
        ("python", "HEAD = '# @generated'\n", False),
        ("python", "# Reads the tables that were\n# generated by pgen.\n", False),
        ("python", "# Autogenerated ids start with an underscore.\n", False),
        ("python", "# Generated by default unless told otherwise.\n", False),
        ("python", "# This file is not generated.\n", False),
        ("python", "# Users do not edit what they cannot see.\n", False),
        ("python", "seed = 5  # generated by a die\n", False),
        ("javascript", "const head = `\n// Code generated by x. DO NOT EDIT.\n`;\n", False),
        ("go", 'const head = "// Code generated by x. DO NOT EDIT."\n', False),
        ("python", "import os\n" * 50 + "# @generated\n", False),
    ],
)
def test_markers_of_generated_files(language: str, head: str, expected: bool) -> None:
    assert filters.generated(document(head + BODY, "a", language)) is expected
    if language != "html":
        result = filters.text_rules(document(head + BODY, "a", language))
        assert reason(result) == ("generated" if expected else None)


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\0'", "print 'two'", "\ud800 = 1"])
def test_python_that_does_not_parse_is_dropped(text: str) -> None:
    assert filters.syntax(document(text)) == "does not parse"
    assert filters.syntax(document(text, language="")) == "does not parse"
    assert reason(filters.syntax(document(text, language="ruby"))) is None


def test_python_too_deep_for_the_parser_is_dropped() -> None:
    for text in ["(" * 5000, "x" + "+1" * 30_000, "-" * 30_000 + "1"]:
        assert filters.syntax(document(text)) == "does not parse"


def test_languages_and_licences() -> None:
    rust, unknown = document(language="rust"), document(language="")
    assert reason(filters.languages()(rust)) is None
    assert reason(filters.languages(["go", "rust"])(rust)) is None
    assert filters.languages(["go"])(rust) == "language not asked for"
    assert filters.languages()(unknown) == "language not known"
    with pytest.raises(UserError, match="pyton"):
        Filters(languages=("go", "pyton"))
    for expression, allowed, expected in [
        ("MIT", False, None),
        ("GPL-3.0-only", True, "licence not permissive"),
        ("", False, "no licence named"),
        ("", True, None),
    ]:
        step = filters.permissive_license(allowed)
        assert reason(step(Document(BODY, "a.py", "a", expression))) == expected


def test_comments_are_an_option() -> None:
    bare, told = document(), document('"""A module.\n\nIt adds."""\n' + BODY)
    mostly = document("# " + "word " * 10 + "\n" + "x = 1\n")
    step = partial(filters.comment_rule, low=0.01, high=0.8)
    assert [reason(step(each)) for each in (bare, told, mostly)] == [
        "few comments",
        None,
        "mostly comments",
    ]
    names = [name for name, _ in Filters(min_comments=0.01, max_comments=0.8).steps()]
    assert names == ["licence", "language", "path", "text", "comments", "syntax"]


def test_the_steps_obey_their_thresholds_and_travel_to_other_processes() -> None:
    kept = document(path="tests/mod.py")
    for limits, expected in [
        (Filters(), None),
        (Filters(tests=False), "test"),
        (Filters(languages=("go",)), "language not asked for"),
        (Filters(min_characters=10_000), "short"),
        (Filters(max_line=10), "long lines"),
        (Filters(min_alphanumeric=0.99), "few letters"),
    ]:
        found = [reason(step(kept)) for _, step in pickle.loads(pickle.dumps(limits.steps()))]
        assert next((each for each in found if each), None) == expected


@given(st.text(), st.sampled_from(["python", "html", "json", "markdown", "", "c"]))
def test_any_text_is_kept_as_it_is_or_dropped(text: str, language: str) -> None:
    given_ = document(text, "a", language)
    for _, step in Filters(min_characters=0).steps():
        result = step(given_)
        assert isinstance(result, str) or result is given_
