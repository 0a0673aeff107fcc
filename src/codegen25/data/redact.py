"""Personal data and secrets out of source: e-mail addresses, IP addresses, keys, passwords.

As BigCode did it (bigcode-dataset, pii/): what is found is replaced by `<EMAIL>`, `<KEY>` and
`<PASSWORD>`, and an IP address by one of five private ones, the same one for the same address.
Keys of known services are found by detect-secrets' patterns; a value that is only *named* like a
secret (`api_key = "…"`) must also look random. Their model that finds people's names is not here.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from importlib import import_module
from itertools import pairwise
from typing import Any

from codegen25.data.documents import Document, Mark
from codegen25.errors import UserError

EMAIL, KEY, PASSWORD = "<EMAIL>", "<KEY>", "<PASSWORD>"
PRIVATE_V4 = ("172.16.31.10", "172.16.58.3", "172.16.17.32", "192.168.127.12", "192.168.3.11")
PRIVATE_V6 = (
    "fd00:c2b6:b24b:be67:2827:688d:e6a1:6a3b", "fd00:a516:7c1b:17cd:6d81:2137:bd2a:2c5b",
    "fc00:e968:6179::de52:7100", "fc00:db20:35b:7399::5", "fdf8:f53e:61e4::18",
)  # fmt: skip
"""BigCode's replacements."""


@dataclass(frozen=True)
class Finding:
    """Characters `start` to `end` are a `kind`: email, ip, key or password."""

    start: int
    end: int
    kind: str
    replacement: str


@dataclass(frozen=True)
class Redaction:
    """How many of each were replaced; passwords are counted as keys."""

    emails: int = 0
    ips: int = 0
    keys: int = 0

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Redaction:
        """Count `findings`."""
        kinds = Counter(finding.kind for finding in findings)
        return cls(kinds["email"], kinds["ip"], kinds["key"] + kinds["password"])


def redact(document: Document) -> Document:
    """The document without what `find` finds: the step of the pipeline.

    Marks stay before the same characters. Python that parses still does: a finding in the middle
    of an expression (`left@right.it` is a product) is left alone then.
    """
    bounds = [0, *(position for position, _ in document.marks), len(document.text)]
    pieces = [document.text[a:b] for a, b in pairwise(bounds)]
    found = [find(piece, document.language) for piece in pieces]
    if not any(found):
        return document
    cleaned = _redacted(document, pieces, found)
    if document.language == "python" and not _parses(cleaned.text) and _parses(document.text):
        kept: list[list[Finding]] = [[] for _ in found]
        for index, finding in ((i, each) for i, part in enumerate(found) for each in part):
            kept[index].append(finding)
            if not _parses(_redacted(document, pieces, kept).text):
                kept[index].pop()
        cleaned = _redacted(document, pieces, kept)
    return cleaned


def _redacted(
    document: Document, pieces: Sequence[str], found: Sequence[Sequence[Finding]]
) -> Document:
    """The document of `pieces`, which its marks part, with the findings of each replaced."""
    text, marks = "", list[Mark]()
    for index, (piece, findings) in enumerate(zip(pieces, found, strict=True)):
        if index:
            marks.append((len(text), document.marks[index - 1][1]))
        text += substitute(piece, findings)
    return replace(document, text=text, marks=tuple(marks))


def substitute(text: str, findings: Sequence[Finding]) -> str:
    """`text` with the replacements in; `findings` in order, none over another."""
    parts, position = [], 0
    for finding in findings:
        parts += [text[position : finding.start], finding.replacement]
        position = finding.end
    return "".join([*parts, text[position:]])


def _parses(text: str) -> bool:
    from codegen25.data.filters import parses

    return parses(text)


def find(text: str, language: str = "") -> list[Finding]:
    """What is personal or secret in `text`, in order, none over another.

    `language` matters where a value needs no quotes (shell, YAML, …). Needs detect-secrets, of the
    extra `codegen25[data]`; raises UserError without it.
    """
    found = [*_keys(text, language), *_emails(text), *_addresses(text)]
    result: list[Finding] = []
    for finding in sorted(found, key=lambda each: (each.start, -each.end)):
        if not result or finding.start >= result[-1].end:
            result.append(finding)
    return result


_LOCAL = re.compile(r"[\w.+-]{1,64}")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,12})(?![\w(-])"
)
_ESCAPE = re.compile(r"[abfnrtv0]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}")
_TOP_LEVELS = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw
by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et
eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie
il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv
ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr
nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl
sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz
va vc ve vg vi vn vu wf ws ye yt za zm zw
com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel asia cat dev app
tech online site xyz cloud email blog shop store live life world company systems solutions software
studio agency digital academy institute university foundation science rocks space website wiki
social
"""
_TOP_LEVEL = frozenset(_TOP_LEVELS.split())
_IN_URL = re.compile(r"://[^\s\"'<>]*$")
_SERVICES = frozenset({"git", "hg", "svn", "cvs", "bzr"})
_EXAMPLE = re.compile(
    r"(?:.*\.)?(?:example(?:\.[a-z]+)?|test|invalid|localhost|local)", re.IGNORECASE
)


def _emails(text: str) -> Iterator[Finding]:
    """Addresses at real top-level domains, but the example domains of RFC 2606 and RFC 6762.

    Neither `user@host`, nor a user in a URL (`ssh://user@host.org`), nor `git@host.org`.
    """
    at = text.find("@")
    while at >= 0:
        if finding := _email(text, at):
            yield finding
        at = text.find("@", at + 1)


def _email(text: str, at: int) -> Finding | None:
    domain = _DOMAIN.match(text, at + 1)
    local = _LOCAL.match(text[max(0, at - 65) : at][::-1])
    if not domain or not local:
        return None
    level, name = domain[1], local[0][::-1]
    start = at - len(name)
    before = text[max(0, start - 1) : start]
    if before == "\\" and (escape := _ESCAPE.match(name)):
        name = name[escape.end() :]
        start = at - len(name)
    if level.lower() not in _TOP_LEVEL or not (level.islower() or level.isupper()):
        return None
    if not name.strip("._+-") or name.lower() in _SERVICES or before in ("@", "%", "$"):
        return None
    in_url = before in ("/", ":") and _IN_URL.search(text[max(0, start - 200) : start])
    if in_url or _EXAMPLE.fullmatch(domain[0]):
        return None
    return Finding(start, domain.end(), "email", EMAIL)


# The look behind comes second, so that the search can run from digit to digit.
_V4 = re.compile(
    r"[0-9](?<![\w.].)[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?!\w|\.\w|-\w{4})"
)
_V6 = re.compile(r"[23](?<![\w:.].)[0-9A-Fa-f]{3}(?::{1,2}[0-9A-Fa-f]{1,4}){2,7}(?![\w:])")
_WELL_KNOWN = frozenset(
    {"1.2.3.4", "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112",
     "208.67.222.222", "208.67.220.220", "4.2.2.2", "76.76.19.19", "94.140.14.14", "94.140.15.15"}
)  # fmt: skip
"""Nobody's: name servers for all, most of them in BigCode's list, and what examples use."""
_NO_ADDRESS = re.compile(
    r"version|release|revision|\bver\b|\bv\.?\s*$|\boid\b|object.?id|asn|section|chapter|rfc"
    r"|spec|build|[a-z]/$|[=~<>]=\s*[\"']?$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"dns|server|host|\bip\b|addr", re.IGNORECASE)


def _addresses(text: str) -> Iterator[Finding]:
    """Addresses of hosts on the internet: not private, documentation or network addresses.

    Four numbers are a version (or an object identifier) beside a word that says so, after `name/`
    as in a user agent, and where each has one digit, unless the line speaks of servers.
    """
    for match in _V4.finditer(text):
        address, start = match[0], match.start()
        if address in _WELL_KNOWN or address.endswith(".0") or not _is_host(address):
            continue
        line = text[max(0, text.rfind("\n", 0, start), start - 60) : start]
        if not _NO_ADDRESS.search(line) and (len(address) > 7 or _ADDRESS.search(line)):
            yield Finding(start, match.end(), "ip", PRIVATE_V4[_draw(address)])
    for match in _V6.finditer(text):
        if _is_host(match[0]):
            yield Finding(match.start(), match.end(), "ip", PRIVATE_V6[_draw(match[0])])


def _is_host(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def _draw(address: str) -> int:
    return blake2b(address.lower().encode(), digest_size=4).digest()[0] % 5


_PLUGINS = (
    "artifactory.ArtifactoryDetector", "aws.AWSKeyDetector",
    "azure_storage_key.AzureStorageKeyDetector", "cloudant.CloudantDetector",
    "discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector",
    "gitlab_token.GitLabTokenDetector", "ibm_cloud_iam.IbmCloudIamDetector",
    "ibm_cos_hmac.IbmCosHmacDetector", "jwt.JwtTokenDetector", "mailchimp.MailchimpDetector",
    "npm.NpmDetector", "openai.OpenAIDetector", "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector", "slack.SlackDetector", "softlayer.SoftlayerDetector",
    "square_oauth.SquareOAuthDetector", "stripe.StripeDetector",
    "telegram_token.TelegramBotTokenDetector", "twilio.TwilioKeyDetector",
)  # fmt: skip


@dataclass(frozen=True)
class _Detector:
    """What is used of detect-secrets: its patterns, its entropy and its filters."""

    patterns: tuple[tuple[re.Pattern[str], Any], ...]
    hex_entropy: Any
    entropy: Any
    is_sequential: Any
    is_uuid: Any


@cache
def _detector() -> _Detector:
    try:
        plugins = [
            import_module(f"detect_secrets.plugins.{name.split('.')[0]}") for name in _PLUGINS
        ]
        strings = import_module("detect_secrets.plugins.high_entropy_strings")
        filters = import_module("detect_secrets.filters.heuristic")
    except ModuleNotFoundError as error:
        raise UserError(
            f"redaction needs {error.name}; install it with: pip install 'codegen25[data]'"
        ) from error
    made = [
        getattr(module, name.split(".")[1])()
        for module, name in zip(plugins, _PLUGINS, strict=True)
    ]
    return _Detector(
        tuple((pattern, plugin) for plugin in made for pattern in plugin.denylist),
        strings.HexHighEntropyString(3.0).calculate_shannon_entropy,
        strings.Base64HighEntropyString(4.5).calculate_shannon_entropy,
        filters.is_sequential_string,
        filters.is_potential_uuid,
    )


def _keys(text: str, language: str) -> Iterator[Finding]:
    detector = _detector()
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    if "://" in text and "@" in text:
        yield from _logins(text)
    yield from _service_keys(text, detector)
    yield from _named(text, language, detector)


_BLOCK = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(.{1,20000}?)-----END", re.DOTALL
)
_BASE64 = re.compile(r"(?<!\\)[A-Za-z0-9+/]{16,}={0,2}")


def _private_keys(text: str) -> Iterator[Finding]:
    """The base64 of a PEM block: as one where nothing else is in it, else run by run."""
    for block in _BLOCK.finditer(text):
        runs = [match.span() for match in _BASE64.finditer(text, *block.span(1))]
        if runs and re.fullmatch(r"[A-Za-z0-9+/=\s]+", text[runs[0][0] : block.end(1)]):
            runs = [(runs[0][0], len(text[: block.end(1)].rstrip()))]
        for start, end in runs:
            yield Finding(start, end, "key", KEY)


_LOGIN = re.compile(r"://[^\s/:@\"'`<>{}$%]*:([^\s/:@\"'`<>{}$%\\]{3,100})@([\w.\[-]+)")


def _logins(text: str) -> Iterator[Finding]:
    """The password of `scheme://user:password@host`, but a mere word for a host without a dot."""
    for match in _LOGIN.finditer(text):
        is_word = match[1].isalpha() and ("." not in match[2] or match[2].startswith("127."))
        if not (is_word or _PLACEHOLDER.search(match[1]) or re.fullmatch(r"[A-Z_]+", match[1])):
            yield Finding(match.start(1), match.end(1), "password", PASSWORD)


_RUN = re.compile(r"[A-Za-z0-9_+/=-]{20,4096}")
_DIGIT = re.compile(r"[0-9]")
_KEY_CHARACTERS = re.compile(r"[A-Za-z0-9_=-]*")
_DELIMITERS = " \t\"'`=:,;()[]{}"


def _service_keys(text: str, detector: _Detector) -> Iterator[Finding]:
    """Keys whose form tells the service: looked for around long runs with a digit in them."""
    for run in _RUN.finditer(text):
        if not _DIGIT.search(run[0]):
            continue
        first = max(text.rfind("\n", 0, run.start()) + 1, run.start() - 100)
        last = text.find("\n", run.end())
        last = min(last if last >= 0 else len(text), run.end() + 100)
        window = text[first:last]
        for pattern, plugin in detector.patterns:
            for match in pattern.finditer(window):
                start, end = _value_span(match)
                valid = getattr(plugin, "is_formally_valid", None)
                if valid and not valid(match[0]):
                    continue
                extended = _KEY_CHARACTERS.match(window, end)
                end = extended.end() if extended else end
                if valid and window[end : end + 1] == ".":
                    end = _KEY_CHARACTERS.match(window, end + 1).end()  # type: ignore[union-attr]
                value = window[start:end]
                if window[max(0, start - 1) : start].isalnum() or not _random(value, detector, 0.7):
                    continue
                yield Finding(first + start, first + end, "key", KEY)


def _value_span(match: re.Match[str]) -> tuple[int, int]:
    """Where in a match the secret is: a group of some length, else all but the delimiters."""
    spans = [match.span(i) for i in range(1, (match.re.groups or 0) + 1) if match[i]]
    start, end = max(spans, key=lambda span: span[1] - span[0], default=match.span())
    if end - start < 12:
        start, end = match.span()
    value = match.string[start:end]
    start += len(value) - len(value.lstrip(_DELIMITERS))
    value = value.strip(_DELIMITERS)
    return start, start + len(re.split(r"[\s\"'`,;)]", value, maxsplit=1)[0])


_WORDS = (
    r"(?:token(?<!nexttoken)(?<!next_token)(?<!pagetoken)(?<!page_token)(?<!ationtoken)"
    r"(?<!publickeytoken)|passw(?:or)?d|passwd|pwd|passphrase|secret|credential|api_?key|api-key"
    r"|auth_?key|access_?key|private_?key|client_?key|service_?key|account_?key|signing_?key"
    r"|encryption_?key)"
)
"""Names of secrets; the tokens that page through results are none."""
_QUOTED = re.compile(
    rf"({_WORDS})([\w-]{{0,30}})"
    r"(?:[\"'][ \t]{0,8},|[\"'\]]{0,2}[ \t]{0,8}(?::=|=>|={1,3}|:))[ \t]{0,8}[brfu@]{0,2}"
    r"([\"'`])([^\s\"'`\\]{6,200})\3"
)
_BARE = re.compile(
    rf"^[ \t]*(?:export |env |- )?[\w.-]{{0,40}}({_WORDS})([\w-]{{0,30}})[ \t]*[=:][ \t]*()"
    r"([A-Za-z0-9+/=_.-]{16,200})[ \t]*$",
    re.MULTILINE,
)
_BARE_LANGUAGES = {"shell", "yaml", "dockerfile", "makefile", "markdown", "restructuredtext", ""}
_NOT_THE_VALUE = re.compile(
    r"file|path|dir|url|uri|field|name|label|hash|regex|pattern|prompt|hint|err|msg|message|len"
    r"|size|type|class|header|param|column|env|var|help|format|prefix|scope|endpoint|last|used"
    r"|date|time|policy",
    re.IGNORECASE,
)
_HASHES = re.compile(
    r"sha-?\d|md5|hash|digest|checksum|fingerprint|integrity|etag|commit|revision|u?uid|guid",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"example|^(?:my|your|the|some|an?|new|old)?[-_ ]?(?:super)?[-_ ]?(?:pass(?:word|wd|phrase)?"
    r"|pwd|pw|secret|token|api_?key|key|user(?:name)?|test(?:ing)?|foo|bar|admin|root|guest)\d{0,3}$"
    r"|changeme|change-me|placeholder|dummy|sample|xxx|\*\*\*|\.\.\.|replace|your[-_]|[<>{}$%()]",
    re.IGNORECASE,
)


def _named(text: str, language: str, detector: _Detector) -> Iterator[Finding]:
    """Values given to names such as `api_key` and `password`, if they look like secrets."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few capitals have longer small letters
        lowered = text
    patterns = [_QUOTED, _BARE] if language in _BARE_LANGUAGES else [_QUOTED]
    for pattern in patterns:
        for match in pattern.finditer(lowered):
            start, end = match.span(4)
            value = text[start:end]
            around = lowered[max(0, match.start() - 30) : start]
            if _NOT_THE_VALUE.search(match[2]) or _HASHES.search(around):
                continue
            if _PLACEHOLDER.search(value) or detector.is_uuid(value):
                continue
            if _random(value, detector, 0.82):
                yield Finding(start, end, "key", KEY)
            elif match[1].startswith("p") and match[3] and _like_password(value):
                yield Finding(start, end, "password", PASSWORD)


def _like_password(value: str) -> bool:
    """Letters and digits, and a capital or a sign: `Tr0ub4dor&3`, not `hunter` nor `utf8`."""
    kinds = (str.islower, str.isupper, str.isdigit, lambda each: each in "!#&*+;:?@^~")
    present = [any(kind(each) for each in value) for kind in kinds]
    return len(value) >= 8 and present[2] and (present[0] or present[1]) and sum(present) >= 3


def _random(value: str, detector: _Detector, share: float) -> bool:
    """Whether the entropy of the characters is that of random ones.

    Hexadecimals by detect-secrets' limit of 3 bits. Others by `share` of what their length (or
    36 letters and digits) allow, since its limit of 4.5 bits misses all below 23 characters.
    """
    value = value.rsplit("/", 1)[-1] if value.startswith("http") else value
    if len(value) < 16 or not _DIGIT.search(value) or _PLACEHOLDER.search(value):
        return False
    if detector.is_sequential(value) or detector.is_uuid(value):
        return False
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        return len(value) >= 24 and not value.isdigit() and bool(detector.hex_entropy(value) > 3.0)
    if not re.fullmatch(r"[A-Za-z0-9+/=_.~-]+", value):
        return False
    return bool(detector.entropy(value) > share * math.log2(min(len(value), 36)))
