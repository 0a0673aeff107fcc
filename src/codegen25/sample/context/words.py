"""Identifiers of source text, in any language."""

from __future__ import annotations

import keyword
import re

_WORD = re.compile(r"[^\W\d]\w{2,199}")
_CHAIN = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_SAY_NOTHING = frozenset((
    *keyword.kwlist, "self", "cls", "this", "super", "true", "false", "null", "nil", "undefined",
    "void", "int", "str", "bool", "float", "double", "char", "long", "let", "var", "const",
    "function", "func", "end", "then", "else", "elif", "public", "private", "protected", "static",
    "final", "new", "delete", "typeof", "instanceof", "switch", "case", "default", "struct", "enum",
    "interface", "impl", "trait", "use", "mod", "pub", "mut", "package", "extends", "implements",
    "throws", "throw", "catch", "export", "require", "module", "include", "using", "namespace",
    "template", "typename", "virtual", "override", "extern", "unsigned",
))  # fmt: skip


def identifiers(text: str) -> frozenset[str]:
    """The identifiers of three characters or more, keywords of common languages left out.

    >>> sorted(identifiers("def load(path): return Path(path).read_text()"))
    ['Path', 'load', 'path', 'read_text']
    """
    return frozenset(_WORD.findall(text)) - _SAY_NOTHING


def chains(line: str) -> list[str]:
    """Names with their attributes as a line spells them.

    >>> chains("x = os.path.join(a, 'b')")
    ['x', 'os.path.join', 'a', 'b']
    """
    return _CHAIN.findall(line)
