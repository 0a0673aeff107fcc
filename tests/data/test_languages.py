from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.languages import EXTENSIONS, LANGUAGES, known, language_of

C_HEADER = """/* a class of devices; namespace std:: is meant in this comment only */
#ifndef DEVICE_H
#define DEVICE_H
#ifdef __cplusplus
extern "C" {
#endif
struct device { int class_id; };
int open_device(struct device *d);
#endif
"""
INSERTS = "".join(f"INSERT INTO city VALUES ({i}, 'x');\n" for i in range(30))


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a/b.py", "x = 1\n", "python"),
        ("A.PY", "x = 1\n", "python"),
        ("stub.pyi", "x: int\n", "python"),
        ("a.js", "let a\n", "javascript"),
        ("a.java", "class A {}\n", "java"),
        ("a.cs", "class A {}\n", "c-sharp"),
        ("a.go", "package a\n", "go"),
        ("a.rb", "puts 1\n", "ruby"),
        ("a.css", "a { b: c }\n", "css"),
        ("a.json", "{}\n", "json"),
        ("a.toml", "a = 1\n", "toml"),
        ("a.rst", "A\n=\n", "restructuredtext"),
        ("a.yml", "a: 1\n", "yaml"),
        (".github/workflows/a.yml", "a: 1\n", "yaml"),
        ("a.ipynb", '{"cells": []}', "jupyter"),
        ("a.ipynb", "not a notebook", ""),
        # .h
        ("a.h", C_HEADER, "c"),
        ("a.h", "", "c"),
        ("a.h", 'static const char *s = "std::string";\n', "c"),
        ("a.h", "template <class T>\nT f(T);\n", "cpp"),
        ("a.h", "class A {\npublic:\n};\n", "cpp"),
        ("a.h", "class A;\n", "cpp"),
        ("a.h", "namespace a {\n}\n", "cpp"),
        ("a.h", "#include <vector>\n", "cpp"),
        ("a.h", "void f(std::string s);\n", "cpp"),
        ("a.h", "#import <Foundation/Foundation.h>\n@interface A\n@end\n", ""),
        ("a.hpp", "struct A;\n", "cpp"),
        ("a.c", "int main(void) { return 0; }\n", "c"),
        # .ts
        ("a.ts", "export const a: number = 1;\n", "typescript"),
        ("a.tsx", "export const A = () => <p/>;\n", "typescript"),
        ("de.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS></TS>\n', ""),
        ("de.ts", "<!DOCTYPE TS><TS></TS>\n", ""),
        ("video.ts", "G@\0\x11" * 40, ""),
        ("tiles.tsx", '\ufeff<?xml version="1.0"?>\n<tileset/>\n', ""),
        # .sql
        ("a.sql", "CREATE TABLE a (b INT);\nSELECT * FROM a;\n", "sql"),
        ("a.sql", "-- MySQL dump 10.13\nCREATE TABLE a (b INT);\n", ""),
        ("a.sql", "--\n-- PostgreSQL database dump\n--\n", ""),
        ("a.sql", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", ""),
        ("a.sql", "CREATE TABLE city (a INT, b TEXT);\n" + INSERTS, ""),
        ("a.sql", INSERTS[:200], "sql"),
        # .md, .inc, .m, .rs, .pl, .php, .html
        ("README.md", "# Title\n", "markdown"),
        ("i386.md", ";; GCC machine description\n(define_insn \"a\")\n", ""),
        ("a.inc", "<?php\n$a = 1;\n", "php"),
        ("a.inc", "#define A 1\n", "c"),
        ("a.inc", "#include <vector>\nstd::vector<int> v;\n", "cpp"),
        ("a.inc", "  mov ax, bx\n", ""),
        ("a.m", "x = 1;\n", ""),
        ("a.rs", "fn main() {}\n", "rust"),
        ("a.rs", "#![no_std]\nfn main() {}\n", "rust"),
        ("a.rs", "#pragma version(1)\n", ""),
        ("a.pl", "use strict;\nmy $a = 1;\n", "perl"),
        ("a.pl", "parent(X, Y) :- child(Y, X).\n", ""),
        ("a.php", "<p><?= $a ?></p>\n", "php"),
        ("a.php", "nothing\n", ""),
        ("a.html", "<!DOCTYPE html><html></html>", "html"),
        ("a.html", '<?xml version="1.0"?><!DOCTYPE html><html></html>', "html"),
        ("a.html", '<?xml version="1.0"?><feed></feed>', ""),
        ("a.html", "{% extends 'base' %}\n", "html"),
        # names and first lines
        ("Makefile", "all:\n", "makefile"),
        ("src/Dockerfile", "FROM x\n", "dockerfile"),
        ("CMakeLists.txt", "project(a)\n", "cmake"),
        ("bin/tool", "#!/usr/bin/env python3\n", "python"),
        ("bin/tool", "#!/usr/bin/python3.11 -u\n", "python"),
        ("bin/tool", "#!/usr/bin/env -S A=1 node --flag\n", "javascript"),
        ("bin/tool", "#! /bin/sh -e\n", "shell"),
        ("bin/tool", "#!/usr/bin/awk -f\n", ""),
        ("bin/tool", "echo a\n", ""),
        ("LICENSE", "MIT\n", ""),
        (".profile", "#!/bin/sh\n", ""),
        ("a.py", "x = '\0'\n", ""),
        ("a.exe", "MZ", ""),
    ],
)  # fmt: skip
def test_the_language_of_a_file(path: str, text: str, language: str) -> None:
    assert language_of(path, text) == language
    assert known(path) or not language


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.py", True), ("bin/run", True), ("Makefile", True), ("a.png", False), (".env", False)],
)
def test_what_is_worth_opening(path: str, expected: bool) -> None:
    assert known(path) is expected


def test_every_ending_is_spelled_as_it_is_compared() -> None:
    endings = [ending for group in EXTENSIONS.values() for ending in group]
    assert all(e.startswith(".") and e == e.lower() for e in endings)
    assert {e for e in endings if endings.count(e) > 1} == {".h"}
    assert sorted(LANGUAGES) == list(LANGUAGES)


@given(st.sampled_from([*{e for group in EXTENSIONS.values() for e in group}, ""]), st.text())
def test_any_text_gets_a_known_language_or_none(ending: str, text: str) -> None:
    assert language_of("name" + ending, text) in {"", *LANGUAGES}
