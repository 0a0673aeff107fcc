"""Which files are worth learning from: BigCode's rules for text, and rules for paths and markers.

Each rule is a step. Thresholds and what they are from: `Filters`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from html import unescape
from pathlib import PurePosixPath

from codegen25.data.documents import Document, Step
from codegen25.data.languages import LANGUAGES, comments
from codegen25.data.licenses import rank
from codegen25.data.quality import comment_share
from codegen25.data.records.layout import RECORDS
from codegen25.data.syntax import parse
from codegen25.errors import UserError


@dataclass(frozen=True)
class Filters:
    """What is kept. The defaults are StarCoder's (bigcode-dataset, preprocessing/filtering.py).

    languages         names of `languages.LANGUAGES`, or of records: commits, issues, notebooks;
                      none given: all of them.
    unknown_license   keep documents whose licence nothing names. A file without terms is all
                      rights reserved, so not by default; for one's own code.
    tests             keep test files: they show how code is called. StarCoder kept them.
    min_characters    below, there is nothing to infill; BigCode's bound for data files, for all.
    max_line          longest line: above are data and minified code.
    max_mean_line     mean line, as Codex did.
    min_alphanumeric  share of letters and digits: below are tables and drawings.
    max_data          characters of a JSON or YAML file: above is data, not configuration.
    min_data_letters  share of letters in JSON and YAML: below are numbers.
    min_html_text     characters of an HTML page that are shown, and
    min_html_share    their share: below is markup that says nothing.
    min_comments      smallest and
    max_comments      largest share of comments and docstrings. SantaCoder's, 0.01 and 0.8, gained
                      a little there; StarCoder left them out.

    Raises UserError for a language that is not known.
    """

    languages: tuple[str, ...] = ()
    unknown_license: bool = False
    tests: bool = True
    min_characters: int = 100
    max_line: int = 1000
    max_mean_line: float = 100
    min_alphanumeric: float = 0.25
    max_data: int = 5000
    min_data_letters: float = 0.5
    min_html_text: int = 100
    min_html_share: float = 0.2
    min_comments: float = 0.0
    max_comments: float = 1.0

    def __post_init__(self) -> None:
        known = (*LANGUAGES, *sorted(RECORDS))
        if strange := sorted(set(self.languages) - set(known)):
            raise UserError(
                f"languages: {', '.join(strange)}: not known; known are {', '.join(known)}"
            )

    def steps(self) -> list[tuple[str, Step]]:
        """The rules by their names, cheapest first."""
        steps: list[tuple[str, Step]] = [
            ("licence", permissive_license(self.unknown_license)),
            ("language", languages(self.languages)),
            ("path", partial(path, tests=self.tests)),
            ("text", partial(text_rules, limits=self)),
            ("syntax", syntax),
        ]
        low, high = self.min_comments, self.max_comments
        if (low, high) != (0, 1):
            steps.insert(-1, ("comments", partial(comment_rule, low=low, high=high)))
        return steps


def permissive_license(allow_unknown: bool = False) -> Step:
    """A step that keeps what is under a permissive licence or, if allowed, under none named."""
    return partial(_license, allow_unknown=allow_unknown)


def _license(document: Document, allow_unknown: bool) -> Document | str:
    verdict = rank(document.license)
    if verdict == 0 or (verdict == 1 and allow_unknown):
        return document
    return "no licence named" if verdict == 1 else "licence not permissive"


def languages(allowed: Collection[str] = ()) -> Step:
    """A step that keeps documents in one of `allowed`; given none, in any known language."""
    return partial(_language, allowed=frozenset(allowed))


def _language(document: Document, allowed: frozenset[str]) -> Document | str:
    if not document.language:
        return "language not known"
    if allowed and document.language not in allowed:
        return "language not asked for"
    return document


_VENDORED = {
    "_vendor", "_vendored", "vendor", "vendored", "vendors", "third_party", "third-party",
    "thirdparty", "3rdparty", "extern", "external", "externals", "site-packages", "dist-packages",
    "node_modules", "jspm_packages", "bower_components", "web_modules", "godeps", "carthage",
    "pods", ".venv", "venv", "virtualenv", ".tox", ".nox", ".eggs", ".yarn", "__pypackages__",
}  # fmt: skip
_BUILT = {"dist", "build", "out", "_build", "htmlcov", ".next", ".nuxt"}
_VENDORED_NAME = re.compile(
    r"(?:jquery|bootstrap|angular|d3|lodash|underscore|moment|mathjax|modernizr|prototype)"
    r"(?:[-.](?:\d[\w.-]*|slim|ui|bundle|esm|core))*\.(?:js|css)|gradlew|mvnw|configure|depcomp"
    r"|install-sh|ltmain\.sh|config\.(?:guess|sub)|(?:ez_setup|get-pip|versioneer)\.py"
)
_LOCK = re.compile(
    r".*\.lock|.*[-.]lock\.(?:json|ya?ml)|npm-shrinkwrap\.json|go\.sum|package\.resolved"
    r"|\.?pnp\.c?js"
)
_MINIFIED = re.compile(r".*[.-](?:min|bundle|chunk|pack|umd|iife)\.(?:js|css|mjs|cjs|html?)")
_GENERATED_NAME = re.compile(
    r".*_pb2(?:_grpc)?\.pyi?|.*\.pb\.(?:go|cc|h|cpp)|.*_pb\.(?:js|d\.ts|rb)|.*\.pb\.gw\.go"
    r"|_?parse(?:r\.out|tab)\.py|.*_parsetab\.py|_version\.py|zz_generated\..*"
    r"|.*[._](?:generated|gen|g|freezed|designer)\.\w+|.*\.g\.i\.cs|.*assemblyinfo\.cs"
    r"|(?:moc|qrc|ui)_.*\.(?:cpp|cxx|cc|h|py)|.*\.(?:tab|yy)\.(?:c|h|cc|cpp)|lex\.yy\.c"
    r"|bindata\.go|buildconfig\.java|r\.java|.*\.snap"
)
_TESTS = {
    "test", "tests", "testing", "testsuite", "idle_test", "__tests__", "__mocks__", "spec", "specs",
    "testdata",
}  # fmt: skip
_TEST_NAME = re.compile(
    r"test_.*|conftest\.py|.*_(?:test|spec)\.\w+|.*[.-](?:test|spec)\.[cm]?[jt]sx?"
)
_TEST_CLASS = re.compile(
    r".*[a-z0-9](?:Test|Tests|TestCase|Spec|IT)\.(?:java|kt|scala|cs|php|swift)"
)


def path(document: Document, *, tests: bool = True) -> Document | str:
    """Drop what others wrote and what no person wrote, by path; test files too unless `tests`."""
    place = PurePosixPath(document.path)
    name = place.name.lower()
    folders = {part.lower() for part in place.parts[:-1]}
    # Monorepos keep their own JavaScript below packages/; Python packages keep copies there.
    if folders & _VENDORED or (document.language in ("python", "") and "packages" in folders):
        return "vendored"
    if _VENDORED_NAME.fullmatch(name):
        return "vendored"
    if _LOCK.fullmatch(name):
        return "lock file"
    if _MINIFIED.fullmatch(name):
        return "minified"
    if _GENERATED_NAME.fullmatch(name):
        return "generated"
    if document.language in ("javascript", "css", "html", "json") and folders & _BUILT:
        return "generated"
    if not tests and (
        folders & _TESTS or _TEST_NAME.fullmatch(name) or _TEST_CLASS.fullmatch(place.name)
    ):
        return "test"
    return document


HEAD_LINES, HEAD_CHARACTERS = 40, 4000
_ANYWHERE = re.compile(
    r"@(?:auto-?)?generated\b|<auto-?generated"
    r"|\b(?:do\s+not|don't)\s+(?:edit|modify|change|touch)"
    r"(?:[ \t]*(?:[!.*/#-]|$)|\s+(?:this|the)\s+(?:\w+\s+)?(?:file|module|code|script|header)\b"
    r"|\s+(?:(?:it|this)\s+)?(?:by\s+hand|manually|directly))"
    r"|\bthis\s+(?:\w+\s+){0,2}?(?:file|module|code|class|header|source|script|table|document)"
    r"\s+(?:(?:is|was|has\s+been)\s+)?(?:(?!not\b)\w+\s+)?(?:auto(?:matically)?[- ]?)?generated\b"
    r"|\bfile\s+(?:is\s+)?(?:auto-?|automatically\s+)generated\b",
    re.IGNORECASE | re.MULTILINE,
)
_HOW = r"(?:,? automatically)?(?! by default)"
_OPENING = (
    r"(?:this is )?(?:an? )?(?:(?:code|file|contents|data) )?"
    rf"(?:(?:auto(?:matically)?|machine)[- ]?generated{_HOW}"
    r"(?:\s+(?:by|from|with|using|file|code|module|script|source|do|please)\b|\s*[.!;:*-]|\s*$)"
    rf"|generated{_HOW}\s+(?:by|from|with|using|(?:on|at) (?:\w+ \w* ?)?\d))"
)
# A wrapped line may begin with "generated by", of another file; with a capital letter, or where
# the comment begins, it is of this one.
_AT_START = re.compile(rf"(?:\A\W*|^\W*(?=[A-Z]))(?i:{_OPENING})", re.MULTILINE)
_GENERATOR = re.compile(r"<meta\s[^>]{0,80}name=[\"']?generator\b", re.IGNORECASE)
_MARK = re.compile(r"^[ \t]*(?:\*+(?!/)|/\*+|#+|//+!?|--+|<!--|;+|%+)[ \t]?", re.MULTILINE)


def generated(document: Document) -> bool:
    """Whether a comment in the first lines says that a program wrote the file.

    Only comments on lines of their own count, so a program that writes such comments, or a
    docstring about them, does not; nor does a comment about other files. Of a web page, its
    `generator` counts too.
    """
    head = "".join(document.text[:HEAD_CHARACTERS].splitlines(keepends=True)[:HEAD_LINES])
    for position, comment in comments(head, document.language):
        words = _MARK.sub("", comment)
        beside_code = head[head.rfind("\n", 0, position) + 1 : position].strip()
        if not beside_code and (_ANYWHERE.search(words) or _AT_START.search(words)):
            return True
    return document.language == "html" and _GENERATOR.search(head) is not None


_PROSE = {"markdown", "restructuredtext"}
_ANY_LINE = _PROSE | RECORDS | {"cmake", "json", "r", "sql"}
_LETTERS_ONLY = {"json", "yaml"}
_ALPHANUMERIC = (string.digits + string.ascii_letters).encode()


def text_rules(document: Document, limits: Filters = Filters()) -> Document | str:
    """Drop text that is no source: too short, machine-made, data, markup.

    BigCode's exceptions by language: the line rules are not for prose, CMake, R, SQL and
    JSON; JSON and YAML have rules of their own; prose may be tables.
    """
    text, language = document.text, document.language
    if len(text) < limits.min_characters:
        return "short"
    if "<?xml version=" in text[:100]:
        return "XML"
    if language in _LETTERS_ONLY and len(text) > limits.max_data:
        return "large data"
    if language not in _ANY_LINE and _long_lines(text, limits):
        return "long lines"
    if generated(document):
        return "generated"
    if language not in _PROSE and letters(text) < limits.min_alphanumeric:
        return "few letters"
    if language in _LETTERS_ONLY and letters(text, digits=False) < limits.min_data_letters:
        return "few letters"
    return _html_rule(document, limits) if language == "html" else document


def _long_lines(text: str, limits: Filters) -> bool:
    # Counting line ends comes first: it settles a file of one line, however long, at once.
    if len(text) > (limits.max_mean_line + 1) * (text.count("\n") + text.count("\r") + 1):
        return True
    lengths = [len(line) for line in text.splitlines()] or [0]
    return max(lengths) > limits.max_line or sum(lengths) > limits.max_mean_line * len(lengths)


def letters(text: str, digits: bool = True) -> float:
    """Share of the characters that are letters, or digits if those count."""
    if text.isascii() and digits:
        return 1 - len(text.encode().translate(None, _ALPHANUMERIC)) / max(1, len(text))
    return sum(map(str.isalnum if digits else str.isalpha, text)) / max(1, len(text))


_TAG = re.compile(r"</?[A-Za-z!?][^<>]*>")
_HIDDEN = (
    ("<!--", "-->"),
    (r"<script\b", r"</script\b[^<>]*>"),
    (r"<style\b", r"</style\b[^<>]*>"),
)


def shown(page: str) -> str:
    """The text of an HTML page that a reader sees, white space included.

    In time proportional to the page: html.parser takes hours for a megabyte of "<a <a <a".
    """
    for start, end in _HIDDEN:
        page = _without(page, re.compile(start, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    return unescape(_TAG.sub("", page))


def _without(text: str, start: re.Pattern[str], end: re.Pattern[str]) -> str:
    kept, position = [], 0
    while opened := start.search(text, position):
        kept.append(text[position : opened.start()])
        closed = end.search(text, opened.end())
        if not closed:
            return "".join(kept)
        position = closed.end()
    return "".join([*kept, text[position:]])


def _html_rule(document: Document, limits: Filters) -> Document | str:
    count = len(shown(document.text))
    enough = count > max(limits.min_html_text, limits.min_html_share * len(document.text))
    return document if enough else "markup"


def comment_rule(document: Document, low: float, high: float) -> Document | str:
    """Drop what has fewer comments than `low` of its characters, or more than `high`."""
    share = comment_share(document)
    if share < low:
        return "few comments"
    return "mostly comments" if share > high else document


def syntax(document: Document) -> Document | str:
    """Drop Python that this Python's parser does not take. Other languages pass."""
    is_python = document.language == "python" or (
        not document.language and document.path.endswith((".py", ".pyi"))
    )
    return "does not parse" if is_python and parse(document.text) is None else document
