"""Which language is a file in, and which of its text is comment?

The language follows from the name, and from the content where languages share an ending. Comments
are found by one regular expression a language that steps over its strings; it is no lexer (a
JavaScript regular expression with a quote in it misleads it to the end of the line at most).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from types import MappingProxyType

EXTENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "c": (".c", ".h"),
        "c-sharp": (".cs", ".csx"),
        "cmake": (".cmake",),
        "cpp": (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".tpp",
                ".h", ".inl"),
        "css": (".css",),
        "dart": (".dart",),
        "dockerfile": (".dockerfile",),
        "go": (".go",),
        "haskell": (".hs",),
        "html": (".html", ".htm", ".xhtml"),
        "java": (".java",),
        "javascript": (".js", ".mjs", ".cjs", ".jsx"),
        "json": (".json",),
        "julia": (".jl",),
        "jupyter": (".ipynb",),
        "kotlin": (".kt", ".kts"),
        "lua": (".lua",),
        "makefile": (".mk", ".mak"),
        "markdown": (".md", ".markdown", ".mdx"),
        "perl": (".pl", ".pm"),
        "php": (".php", ".phtml", ".php5", ".inc"),
        "powershell": (".ps1", ".psm1"),
        "python": (".py", ".pyi", ".pyw"),
        "r": (".r",),
        "restructuredtext": (".rst",),
        "ruby": (".rb", ".rake", ".gemspec"),
        "rust": (".rs",),
        "scala": (".scala", ".sbt"),
        "shell": (".sh", ".bash", ".zsh", ".ksh", ".bats"),
        "sql": (".sql",),
        "swift": (".swift",),
        "toml": (".toml",),
        "typescript": (".ts", ".tsx", ".mts", ".cts"),
        "yaml": (".yaml", ".yml"),
    }
)  # fmt: skip
"""The file name endings of each language, lower-case. An ending that two languages share (`.h`),
or that other things use too (`.ts`, `.inc`), is settled by content; Objective-C's and MATLAB's
`.m` is nobody's."""

LANGUAGES: tuple[str, ...] = tuple(EXTENSIONS)
"""All names that `Document.language` may have, sorted."""

_NAMES = {
    "cmakelists.txt": "cmake",
    "containerfile": "dockerfile",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "gnumakefile": "makefile",
    "makefile": "makefile",
    "pkgbuild": "shell",
    "rakefile": "ruby",
    "sconscript": "python",
    "sconstruct": "python",
}
_INTERPRETERS = {
    "bash": "shell", "dash": "shell", "ksh": "shell", "sh": "shell", "zsh": "shell",
    "bun": "typescript", "deno": "typescript", "ts-node": "typescript",
    "julia": "julia", "lua": "lua", "luajit": "lua", "make": "makefile", "node": "javascript",
    "nodejs": "javascript", "perl": "perl", "php": "php", "pwsh": "powershell",
    "pypy": "python", "python": "python", "rscript": "r", "ruby": "ruby",
}  # fmt: skip
_LANGUAGE_OF = {ending: name for name, endings in EXTENSIONS.items() for ending in endings}

LOOKED_AT = 50_000
"""Characters from the start that content is judged by."""


def known(path: str) -> bool:
    """Whether the file may be in one of `LANGUAGES`, by its name alone.

    A file without an ending is: its first line may name an interpreter. A dot file is not.
    """
    name = PurePosixPath(path).name.lower()
    ending = PurePosixPath(name).suffix
    return name in _NAMES or ending in _LANGUAGE_OF or not (ending or name.startswith("."))


def language_of(path: str, text: str) -> str:
    """The language of a file, a name of `LANGUAGES`, or "" when it is none of them.

    >>> language_of("include/list.h", "template <class T> struct List;")
    'cpp'
    """
    head = text[:LOOKED_AT]
    if "\0" in head:
        return ""
    name = PurePosixPath(path).name
    if name.lower() in _NAMES:
        return _NAMES[name.lower()]
    ending = PurePosixPath(name).suffix
    if not ending:
        return "" if name.startswith(".") else _by_shebang(head)
    if check := _CHECKS.get(ending.lower()):
        return check(head)
    return _LANGUAGE_OF.get(ending.lower(), "")


_SHEBANG = re.compile(
    r"#!\s*(?:\S*/env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([\w+-]+?)[\d.]*(?=\s|$)"
)


def _by_shebang(head: str) -> str:
    match = _SHEBANG.match(head.split("\n", 1)[0])
    return _INTERPRETERS.get(match[1].lower(), "") if match else ""


_C_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_CPP = re.compile(
    r"^\s*(?:template\s*<|namespace\b(?:\s+[\w:]+)?\s*\{?\s*$|namespace\b[^;\n]*\{"
    r"|class\s+\w[^;(\n]*[{:;]?\s*$|class\s+\w[^(\n]*;|using\s+\w|(?:public|private|protected)\s*:)"
    r"|\bstd::|\b(?:constexpr|nullptr|noexcept|static_cast|dynamic_cast)\b",
    re.MULTILINE,
)
_CPP_HEADER = re.compile(
    r"^\s*#\s*include\s*<(?:algorithm|array|functional|iostream|map|memory|string|utility|vector)>",
    re.MULTILINE,
)
_OBJECTIVE_C = re.compile(r"^\s*(?:@(?:interface|protocol|class|end)\b|#\s*import\b)", re.MULTILINE)
_C = re.compile(r"^\s*(?:#\s*(?:include|define|ifn?def|if)\b|(?:static|extern)\s+\w)", re.MULTILINE)


def _c_or_cpp(head: str) -> str:
    code = _C_COMMENT.sub(" ", head)
    if _OBJECTIVE_C.search(code):
        return ""
    return "cpp" if _CPP_HEADER.search(code) or _CPP.search(code) else "c"


def _include(head: str) -> str:
    """`.inc` is PHP's, C's, C++'s, or an assembler's, Pascal's, a recipe's."""
    if "<?php" in head:
        return "php"
    return _c_or_cpp(head) if _C.search(_C_COMMENT.sub(" ", head)) else ""


def _unless(language: str, pattern: str) -> Callable[[str], str]:
    """`language`, but for what begins with `pattern`."""
    other = re.compile(rf"\ufeff?\s*(?:{pattern})", re.IGNORECASE)
    return lambda head: "" if other.match(head) else language


_XML = r"<\?xml|<!doctype\s"
_DUMP = re.compile(
    r"^--\s*(?:mysql dump|mariadb dump|phpmyadmin sql dump|postgresql database dump"
    r"|(?:adminer|host|navicat|sequel (?:pro|ace)|heidisql|dump)\b)"
    r"|\APRAGMA foreign_keys\s*=\s*OFF;\s*BEGIN TRANSACTION;|^copy\s.*\bfrom stdin;",
    re.IGNORECASE | re.MULTILINE,
)
_ROW = re.compile(r"(?:insert\s+into|replace\s+into|values?\b|\()", re.IGNORECASE)


def _sql(head: str) -> str:
    """Not for dumps: rows of data with little SQL."""
    if _DUMP.search(head[:2000]):
        return ""
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    rows = sum(_ROW.match(line) is not None and len(line) > 2 for line in lines)
    return "" if len(lines) >= 20 and rows > 0.8 * len(lines) else "sql"


def _html(head: str) -> str:
    """XHTML is HTML; other XML is not."""
    is_xml = re.match(r"\ufeff?\s*<\?xml", head, re.IGNORECASE)
    return "" if is_xml and not re.search(r"<html\b", head[:5000], re.IGNORECASE) else "html"


_PERL = re.compile(
    r"^\s*(?:use\s+[\w:]+|package\s+[\w:]+;|(?:my|our)\s*[$@%(]|sub\s+\w+)", re.MULTILINE
)

_CHECKS: Mapping[str, Callable[[str], str]] = {
    ".c": lambda head: "" if _OBJECTIVE_C.search(_C_COMMENT.sub(" ", head)) else "c",
    ".h": _c_or_cpp,
    ".inc": _include,
    ".htm": _html,
    ".html": _html,
    ".xhtml": _html,
    # GCC's machine descriptions are Lisp with this ending.
    ".md": _unless("markdown", r";;|\(define_"),
    ".ts": _unless("typescript", _XML),
    ".tsx": _unless("typescript", _XML),
    ".mts": _unless("typescript", _XML),
    ".rs": _unless("rust", rf"{_XML}|#pragma\s"),
    ".js": _unless("javascript", _XML),
    ".css": _unless("css", _XML),
    ".cs": _unless("c-sharp", _XML),
    ".pl": lambda head: "perl" if head.startswith("#!") or _PERL.search(head) else "",
    ".pm": lambda head: "perl" if _PERL.search(head) else "",
    ".php": lambda head: "php" if "<?" in head else "",
    ".phtml": lambda head: "php" if "<?" in head else "",
    ".ipynb": lambda head: "jupyter" if head.lstrip("\ufeff \t\r\n").startswith("{") else "",
    ".sql": _sql,
}


_LINE = r'"(?:\\.|[^"\\\n])*"'
_QUOTED = r"'(?:\\.|[^'\\\n])*'"
_CHARACTER = r"'(?:\\[^\n]{1,10}?|[^'\\\n])'"
_BACKTICKS = r"`(?:\\.|[^`\\])*`"
_TRIPLE = r'"""(?:\\.|[^\\])*?(?:"""|\Z)' + r"|'''(?:\\.|[^\\])*?(?:'''|\Z)"


def _lines(mark: str) -> str:
    """A comment to the end of the line, and those that follow it on lines of their own."""
    return rf"{mark}[^\n]*(?:\n[ \t]*{mark}[^\n]*)*"


_SLASHES = rf"{_lines('//')}|/\*.*?(?:\*/|\Z)"
_DASHES = _lines("--")
_HASH = rf"(?:^|(?<=\s)){_lines('#')}"
_HTML = r"<!--.*?(?:-->|\Z)"

_STYLES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("c", "cpp", "rust", "swift", "scala", "dart", "java", "kotlin", "c-sharp"),
                    (f"{_LINE}|{_CHARACTER}", _SLASHES)),
    **dict.fromkeys(("javascript", "typescript", "go"),
                    (f"{_LINE}|{_QUOTED}|{_BACKTICKS}", _SLASHES)),
    **dict.fromkeys(("shell", "yaml", "dockerfile", "makefile", "r", "perl", "toml"),
                    (f"{_LINE}|{_QUOTED}", _HASH)),
    "cmake": (_LINE, rf"#\[\[.*?(?:\]\]|\Z)|{_HASH}"),
    "css": (f"{_LINE}|{_QUOTED}", r"/\*.*?(?:\*/|\Z)"),
    "haskell": (f"{_LINE}|{_CHARACTER}", rf"{_DASHES}|\{{-.*?(?:-\}}|\Z)"),
    "julia": (f"{_TRIPLE}|{_LINE}", rf"#=.*?(?:=#|\Z)|{_HASH}"),
    "lua": (f"{_LINE}|{_QUOTED}", rf"--\[\[.*?(?:\]\]|\Z)|{_DASHES}"),
    "php": (f"{_LINE}|{_QUOTED}", f"{_SLASHES}|{_HASH}|{_HTML}"),
    "powershell": (f"{_LINE}|{_QUOTED}", rf"<#.*?(?:#>|\Z)|{_HASH}"),
    "python": (f"{_TRIPLE}|{_LINE}|{_QUOTED}", _lines("#")),
    "restructuredtext": ("", r"^\.\. (?!_|\[|\||[\w:-]+::)[^\n]*"),
    "ruby": (f"{_LINE}|{_QUOTED}", rf"^=begin\b.*?(?:^=end\b|\Z)|{_HASH}"),
    "sql": (_QUOTED, rf"{_DASHES}|/\*.*?(?:\*/|\Z)"),
    **dict.fromkeys(("html", "markdown"), ("", _HTML)),
    **dict.fromkeys(("json", "jupyter"), ("", "")),
    "": (f"{_LINE}|{_BACKTICKS}", f"{_SLASHES}|{_HASH}|{_HTML}"),
}  # fmt: skip
"""What strings and comments look like in each language; "" is for a language not known."""


@cache
def _pattern(language: str) -> re.Pattern[str] | None:
    strings, comments = _STYLES[language if language in _STYLES else ""]
    if not comments:
        return None
    both = f"{strings}|({comments})" if strings else f"({comments})"
    return re.compile(both, re.DOTALL | re.MULTILINE)


def comments(text: str, language: str, docstrings: bool = False) -> Iterator[tuple[int, str]]:
    """The comments of `text`, each with its position and its marks (`#`, `/* */`), in order.

    Line comments below one another are one comment. With `docstrings`, triple-quoted Python strings
    that begin a line count too.

    >>> list(comments("s = '# no'  # yes\\n# and more", "python"))
    [(12, '# yes\\n# and more')]
    """
    pattern = _pattern(language)
    for match in pattern.finditer(text) if pattern else ():
        if match[1]:
            yield match.start(), match[1]
        elif docstrings and language == "python" and match[0][:3] in ("'''", '"""'):
            line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not line.strip(" \trRuU"):
                yield match.start(), match[0]
