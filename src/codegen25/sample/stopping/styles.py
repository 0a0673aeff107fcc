"""What the stop machine knows of each language: its strings, comments, brackets and block words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Style:
    """How one language is read.

    `quotes` delimit strings that end with the line, but those of `across` go on; `tripled` ones
    written three times open a long string. `comments` reach to the line's end, `block` is the pair
    around a longer comment. In an `offside` language indentation alone makes a block. The words a
    line begins with: `tops` start what belongs at column 0, `owners` a function or class; a line
    of `inner` may be indented less and yet not leave the block, one of `closers` closes it;
    `modifiers` stand before the word that matters.
    """

    quotes: str = "\"'"
    tripled: str = ""
    across: str = ""
    comments: frozenset[str] = field(default=frozenset())
    block: tuple[str, str] = ("", "")
    brackets: str = "()[]{}"
    offside: bool = False
    tops: frozenset[str] = field(default=frozenset())
    owners: frozenset[str] = field(default=frozenset())
    inner: frozenset[str] = field(default=frozenset())
    closers: frozenset[str] = field(default=frozenset())
    modifiers: frozenset[str] = field(default=frozenset())


_PYTHON = Style(
    tripled="\"'",
    comments=_words("#"),
    offside=True,
    tops=_words("def class import from @"),
    owners=_words("def class"),
    inner=_words("if elif else for while try except finally with match case def class @"),
    modifiers=_words("async"),
)
_C = Style(
    comments=_words("//"),
    block=("/*", "*/"),
    tops=_words("typedef struct static union extern void int"),
    inner=_words("case default else public private protected #"),
)
_JAVASCRIPT = replace(
    _C,
    across="`",
    quotes="\"'`",
    tops=_words("function class import export interface type enum namespace async"),
)
_JAVA = replace(_C, tops=_words("package import public class interface enum record abstract final"))
_ONE_QUOTE = replace(_C, quotes='"')
_HASH = Style(comments=_words("#"), inner=_words("else elif elsif elseif"))
_WORDS = _words("end fi done esac")
_PROSE = Style(quotes="", brackets="", offside=True)

STYLES = {
    "python": _PYTHON,
    **dict.fromkeys(("c", "c-sharp"), _C),
    "cpp": replace(_C, tops=_C.tops | _words("class template namespace using")),
    "java": _JAVA,
    **dict.fromkeys(("javascript", "typescript", "dart"), _JAVASCRIPT),
    "go": replace(_JAVASCRIPT, tops=_words("func type package import var const")),
    "rust": replace(
        _ONE_QUOTE, across='"', tops=_words("fn pub impl struct enum mod use trait type static")
    ),
    "kotlin": replace(_ONE_QUOTE, tripled='"', tops=_words("fun class import package object")),
    "scala": replace(_ONE_QUOTE, tripled='"', tops=_words("class object trait import package")),
    "swift": replace(
        _ONE_QUOTE, tripled='"', tops=_words("func class struct enum import extension protocol")
    ),
    "php": replace(_C, comments=_words("// #"), tops=_words("function class namespace use")),
    "css": replace(_C, comments=frozenset(), tops=frozenset()),
    "ruby": replace(
        _HASH,
        closers=_WORDS,
        inner=_HASH.inner | _words("when in rescue ensure private protected"),
        tops=_words("def class module require"),
    ),
    "julia": replace(
        _HASH,
        quotes='"',
        tripled='"',
        closers=_WORDS,
        inner=_HASH.inner | _words("catch finally"),
        tops=_words("function struct module using import macro"),
    ),
    "lua": replace(
        _HASH,
        comments=_words("--"),
        closers=_WORDS | _words("until"),
        tops=_words("function local return"),
    ),
    # The patterns of a `case` are closed by brackets that nothing opens.
    "shell": replace(_HASH, brackets="{}", closers=_WORDS, inner=_HASH.inner | _words("then do")),
    **dict.fromkeys(("perl", "r", "powershell", "cmake", "dockerfile"), _HASH),
    "makefile": replace(_HASH, offside=True),
    **dict.fromkeys(("yaml", "toml"), replace(_HASH, offside=True)),
    "haskell": Style(quotes='"', comments=_words("--"), offside=True, tops=_words("module import")),
    "sql": Style(quotes="'", comments=_words("--"), block=("/*", "*/")),
    **dict.fromkeys(("markdown", "restructuredtext", "html"), _PROSE),
}
"""By language name; `OTHER` for any that is missing here."""

OTHER = Style(quotes='"', comments=_words("//"), block=("/*", "*/"), inner=_HASH.inner | _C.inner)
