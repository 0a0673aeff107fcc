"""Personal data and secrets out of source: e-mail addresses, IP addresses, keys, passwords.

As BigCode did it (bigcode-dataset, pii/): what is found is replaced by `<EMAIL>`, `<KEY>` and
`<PASSWORD>`, and an IP address by one of five private ones, the same one for the same address.
Keys of known services are found by detect-secrets' patterns and a few of ours; a value that is
only *named* like a secret (`api_key = "…"`) must also look random. Their model that finds people's
names is not here.
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
from codegen25.data.syntax import parse
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
    return parse(text) is not None


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
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.){{1,8}}(xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,18}})(?![\w(-])")
_ESCAPE = re.compile(r"[abfnrtv0]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}")
_TOP_LEVELS = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw
by bz ca cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et
eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie
il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv
ly ma mc me mg mh mk mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr
nu nz om pa pe pf pg ph pk pl pn pr pt pw qa re ro ru rw sa sb sc sd se sg si sk sl
sm sn sr ss st su sv sx sy sz tc td tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz
va vc ve vg vi vn vu wf ws ye yt za zm zw
com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel asia cat dev app
tech online site xyz cloud email blog shop store live life world company systems solutions software
studio agency digital academy institute university foundation science rocks space website wiki
social
accountants actor adult africa amsterdam apartments arab archi art associates attorney auction
barcelona bargains bayern beer berlin bible bingo bio blue boston boutique brussels budapest
builders business bzh camp capetown capital care careers casa cash casino catering center ceo cheap
church city claims cleaning clinic clothing club coach codes coffee college cologne community
computer condos construction consulting contractors cooking cool corsica country coupons courses
credit cricket cruises cymru dance dating deals delivery democrat dental dentist diamonds diet
doctor dog dubai durban earth eco education energy engineer engineering enterprises equipment
estate eus expert express family fans farm fashion finance financial fish fishing fitness flights
florist football frl fund furniture futbol fyi gal gallery garden gent gives glass gmbh gold golf
graphics gratis green group guide guitars guru hamburg haus health healthcare helsinki hiphop
hockey holdings holiday horse hospital hosting house immo immobilien inc industries ink insure
international investments irish istanbul jetzt jewelry joburg kaufen kim kitchen kiwi koeln krd
kyoto land lat law lawyer lease legal lgbt limited limo loan loans lol london love ltd ltda luxury
madrid maison management market marketing markets mba media melbourne memorial men miami moda moe
mortgage moscow nagoya network news ngo ninja nrw nyc okinawa ong onl ooo osaka paris partners
party photo photography photos physio pics pink pizza plumbing poker press productions pub quebec
recipes red rehab reise reisen rentals repair republican restaurant reviews rio rip ruhr ryukyu
saarland sale salon sarl schule scot services sexy shoes singles ski soccer solar soy stockholm
supplies support surf surgery swiss sydney taipei tattoo tax taxi team technology tennis theater
theatre tienda tips tirol tokyo top tours town toys trade training uno vacations vegas ventures
versicherung vet viajes video villas vin vip vision vlaanderen vodka vote voting voyage wales
webcam wedding wien win wine work works wtf yoga yokohama zone
рф укр бел срб мкд қаз ею ευ ελ 中国 中國 香港 台湾 台灣 한국 भारत
"""
_TOP_LEVEL = frozenset(_TOP_LEVELS.split())
_FILES = """
bmp cfg cjs conf cpp css csv dll exe gif gz hpp htm html ico ini jar java jpeg jpg js json jsx kt
less lock log mjs mount pdf php png rb rst scss service socket svg tar tex timer toml ts tsx txt
webp whl xml yaml yml zip
"""
_FILE = frozenset(_FILES.split())
_COUNTRIES_OR_FILES = frozenset({"cc", "md", "ml", "mm", "pm", "ps", "py", "rs", "sh", "so", "tf"})
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "mil", "net", "org"})
_NUMBERED = frozenset({"com", "net", "org", "cn"})
"""Where domains are mere numbers, such as 163.com."""
_VERSION = re.compile(r"v?\d{1,4}", re.IGNORECASE)
_SCOPED = re.compile(r"@[\w.-]{1,60}/$")
_ADDRESSEE = re.compile(
    r"(?:mailto:|(?:mail|author|maintainer|contact)\w{0,10}[\"'\])]{0,2}[ \t]{0,4}(?:[:=(,]|=>)"
    r"[ \t]{0,4}[<\"'(]{0,2})$",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://[^\s\"'<>]*$")
_SERVICES = frozenset({"git", "hg", "svn", "cvs", "bzr"})
_EXAMPLE = re.compile(
    r"(?:.*\.)?(?:example(?:\.[a-z]+)?|test|invalid|localhost|local|localdomain|tld|bar\.baz"
    r"|dom\.ain)",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[Finding]:
    """Addresses at known top-level domains, but the example domains of RFC 2606 and RFC 6762.

    At other endings, and at countries that are a file's ending too (`foo@bar.py`), only what is
    written as an address: `<user@host.any>`, `mailto:`, `email = "…"`.

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
    name = local[0][::-1]
    start = at - len(name)
    before = text[max(0, start - 1) : start]
    if before == "\\" and (escape := _ESCAPE.match(name)):
        name = name[escape.end() :]
        start = at - len(name)
    if not name.strip("._+-") or name.lower() in _SERVICES or before in ("@", "%", "$"):
        return None
    if before in ("/", ":") and _in_path(text[max(0, start - 200) : start]):
        return None
    is_stated = _ADDRESSEE.search(text[max(0, start - 40) : start]) is not None
    is_stated |= before == "<" and text[domain.end() : domain.end() + 1] == ">"
    if not _is_domain(domain[0], is_stated):
        return None
    return Finding(start, domain.end(), "email", EMAIL)


def _in_path(before: str) -> bool:
    """Whether a URL or a scoped package (`@types/node@18.it`) goes on after `before`."""
    return bool(_IN_URL.search(before) or _SCOPED.search(before))


def _is_domain(domain: str, is_stated: bool) -> bool:
    """Whether people have addresses at `domain`; `is_stated`: what is around says that they do."""
    if _EXAMPLE.fullmatch(domain):
        return False
    labels = domain.split(".")
    level = labels[-1].lower()
    if labels[-1] not in (level, level.upper()):
        return False
    if _VERSION.fullmatch(labels[0]) and (len(labels) > 2 or level not in _NUMBERED):
        return False
    if level in _TOP_LEVEL or level.startswith("xn--"):
        return True
    if level in _COUNTRIES_OR_FILES and labels[-2].lower() in _SECOND_LEVEL:
        return True
    return is_stated and level.isascii() and level not in _FILE


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
    r"version|release|revision|\bver\b|\bv\.?\s*$|object.?id|asn|section|chapter|rfc"
    r"|spec|build|[a-z]/$|[=~<>]=\s*[\"']?$",
    re.IGNORECASE,
)
_OID = re.compile(r"[012]\.\d+\.")
_X500 = re.compile(r"2\.5\.(?:4|29)\.")
_OID_NAME = re.compile(r"(?<![A-Za-z])oid|(?<![A-Z])OID(?![a-z])|Oids?(?![a-z])")
"""`OID_X`, `oidKeyUsage` and `keyOid`, but neither `android` nor `void`."""
_ADDRESS = re.compile(r"dns|server|host|\bip\b|addr", re.IGNORECASE)


def _addresses(text: str) -> Iterator[Finding]:
    """Addresses of hosts on the internet: not private, documentation or network addresses.

    Four numbers are a version (or an object identifier) beside a word that says so, after `name/`
    as in a user agent, and where each has one digit, unless the line speaks of servers. Those of
    X.500 (`2.5.29.15`) are object identifiers everywhere.
    """
    for match in _V4.finditer(text):
        address, start = match[0], match.start()
        if address in _WELL_KNOWN or address.endswith(".0") or not _is_host(address):
            continue
        line = text[max(0, text.rfind("\n", 0, start), start - 60) : start]
        if _is_identifier(address, line):
            continue
        if not _NO_ADDRESS.search(line) and (len(address) > 7 or _ADDRESS.search(line)):
            yield Finding(start, match.end(), "ip", PRIVATE_V4[_draw(address)])
    for match in _V6.finditer(text):
        if _is_host(match[0]):
            yield Finding(match.start(), match.end(), "ip", PRIVATE_V6[_draw(match[0])])


def _is_identifier(address: str, before: str) -> bool:
    if _X500.match(address):
        return True
    return _OID.match(address) is not None and _OID_NAME.search(before) is not None


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
    """What is used of detect-secrets: its patterns, its entropy of hexadecimals, its filters."""

    patterns: tuple[tuple[re.Pattern[str], Any], ...]
    hex_entropy: Any
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
        filters.is_sequential_string,
        filters.is_potential_uuid,
    )


def _keys(text: str, language: str) -> Iterator[Finding]:
    detector = _detector()
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    if "://" in text and "@" in text:
        yield from _logins(text)
    if "curl" in text:
        yield from _curl_passwords(text)
    yield from _service_keys(text, detector)
    yield from _prefixed_keys(text)
    if any(word in text for word in ("earer", "EARER", "uthorization")):
        yield from _bearers(text, detector)
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
        if not is_word and _is_given(match[1]):
            yield Finding(match.start(1), match.end(1), "password", PASSWORD)


def _is_given(password: str) -> bool:
    """Whether it stands for itself: neither `<password>` nor `$PASSWORD` nor `USER_PASSWORD`."""
    return not _PLACEHOLDER.search(password) and not re.fullmatch(r"[A-Z_]+", password)


_USER_OPTION = re.compile(
    r"(?<=[\s\"'])(?:--(?:proxy-)?user[\s=\"',]{1,4}|-[uU][\s=\"',]{0,4})"
    r"\w[\w.@+-]{0,63}:([^\s\"'`\\;|]{6,100})"
)


def _curl_passwords(text: str) -> Iterator[Finding]:
    """The password of `curl -u user:password`, in a shell's line or in a list of arguments."""
    for match in _USER_OPTION.finditer(text):
        password = match[1]
        is_word = not _DIGIT.search(password) or password.isdigit()
        if "curl" not in text[max(0, match.start() - 300) : match.start()] or is_word:
            continue
        if _is_given(password):
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
                end = _end(_KEY_CHARACTERS, window, end)
                if valid and window[end : end + 1] == ".":
                    end = _end(_KEY_CHARACTERS, window, end + 1)
                value = window[start:end]
                if window[max(0, start - 1) : start].isalnum() or not _random(value, detector, 0.7):
                    continue
                yield Finding(first + start, first + end, "key", KEY)


_PREFIXES = ("AIza", "hf_", "github_pat_", "sk-", "django-insecure-")
_PREFIXED = re.compile(
    r"(?:AIza(?=[\w-]{35}(?![\w-]))|hf_(?=[A-Za-z0-9]{34})|github_pat_(?=[A-Za-z0-9_]{36})"
    r"|sk-(?:ant-[a-z0-9]{2,10}|proj|svcacct|admin|or-v1)-(?=[A-Za-z0-9_-]{20})"
    r"|(django-insecure-))"
)
_DJANGO_CHARACTERS = re.compile(r"[A-Za-z0-9!@#$%^&*(=+)_-]*")


def _prefixed_keys(text: str) -> Iterator[Finding]:
    """Keys that detect-secrets does not know by their beginning; some have no digit."""
    if not any(prefix in text for prefix in _PREFIXES):
        return
    position = 0
    while match := _PREFIXED.search(text, position):
        characters = _DJANGO_CHARACTERS if match[1] else _KEY_CHARACTERS
        position = _end(characters, text, match.end())
        value = text[match.end() : position]
        if text[max(0, match.start() - 1) : match.start()].isalnum() or _STAND_IN.search(value):
            continue
        is_long = len(value) >= 20
        if is_long and _entropy_share(value) > 0.7 and not _are_words(value):
            yield Finding(match.start(), position, "key", KEY)


def _end(characters: re.Pattern[str], text: str, start: int) -> int:
    match = characters.match(text, start)
    return match.end() if match else start


_BEARER = re.compile(
    r"(?:bearer|authorization[\"']?[ \t]{0,4}[:=,][ \t]{0,4}[\"'`]?token)[ \t]{1,4}"
    r"([A-Za-z0-9._~+/-]{20,4096}={0,2})",
    re.IGNORECASE,
)


def _bearers(text: str, detector: _Detector) -> Iterator[Finding]:
    """What `Authorization: Bearer …` carries."""
    for match in _BEARER.finditer(text):
        if _random(match[1], detector, 0.75):
            yield Finding(match.start(1), match.end(1), "key", KEY)


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
    r"([^\s\"'`\\]{8,200})[ \t]*(?:$|[ \t]#)",
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
_STAND_INS = (
    r"example|^(?:my|your|the|some|an?|new|old)?[-_ ]?(?:super)?[-_ ]?(?:pass(?:word|wd|phrase)?"
    r"|pwd|pw|secret|token|api_?key|key|user(?:name)?|test(?:ing)?|foo|bar|admin|root|guest)\d{0,3}$"
    r"|changeme|change-me|placeholder|dummy|sample|xxx|\*\*\*|\.\.\.|replace|your[-_]"
)
_STAND_IN = re.compile(_STAND_INS, re.IGNORECASE)
_PLACEHOLDER = re.compile(rf"{_STAND_INS}|[<>{{}}$%()]", re.IGNORECASE)
_TEMPLATE = re.compile(
    r"://|[<>]=?\d|==\d+\.|\$[{(\[]\w*[)}\]]|\{\w*\}|\{\{|%\(\w+\)|<[\w./-]+>|[A-Za-z]{4}\(\)|\[\^?\w-\w"
)
_ALPHABET = re.compile(r"abcdef|qwerty|012345|123456", re.IGNORECASE)


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
            is_quoted = bool(match[3])
            if _random(value, detector, 0.82) or (is_quoted and _random_signs(value)):
                yield Finding(start, end, "key", KEY)
            elif match[1].startswith("p") and _like_password(value, is_quoted):
                yield Finding(start, end, "password", PASSWORD)


_BARE_PASSWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_!@#&*+?^~-]*")


def _like_password(value: str, is_quoted: bool) -> bool:
    """Letters and digits, and a capital or a sign: `Tr0ub4dor&3`, not `hunter` nor `utf8`.

    Without quotes `user.get2;`, `*alias1` and the like are code.
    """
    if _PLACEHOLDER.search(value) or _are_words(value):
        return False
    if not is_quoted and not _BARE_PASSWORD.fullmatch(value):
        return False
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
    if not re.fullmatch(r"[A-Za-z0-9+/=_.~-]+", value) or _are_words(value):
        return False
    return _entropy_share(value) > share


_SIGN = re.compile(r"[^A-Za-z0-9+/=_.~:,;-]")


def _random_signs(value: str) -> bool:
    """Whether letters, digits and signs are random: `8#x…)!k`, as Django makes its SECRET_KEY."""
    if len(value) < 24 or not re.fullmatch(r"[!-~]+", value) or not _DIGIT.search(value):
        return False
    if len(set(_SIGN.findall(value))) < 2 or not re.search(r"[A-Za-z]", value):
        return False
    if _STAND_IN.search(value) or _TEMPLATE.search(value) or _ALPHABET.search(value):
        return False
    return _word_share(value) < 0.7 and _entropy_share(value) > 0.82


def _entropy_share(value: str) -> float:
    """The entropy of the characters, as a share of what their number (or 36 kinds) allows."""
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(p * math.log2(p) for p in shares) / math.log2(max(2, min(len(value), 36)))


_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NO_WORD = re.compile(r"[^aeiouy]{5}|^[^aeiouy]+$", re.IGNORECASE)
_PIECE = re.compile(r"(?:[A-Z]?[a-z]*|[A-Z]*)\d{0,4}|\d{1,4}[A-Za-z]{1,2}")


def _are_words(value: str) -> bool:
    """Whether it is a name made of words: `tokenize_by_whitespace_2`, `OAuth2ClientSecret`.

    Random letters and digits are so once in 300 times (16 of them) to never (32).
    """
    pieces = [piece for piece in re.split(r"[_./-]", value) if piece]
    is_parted = sum(piece[:2].isalpha() for piece in pieces) >= 2
    if is_parted and all(map(_PIECE.fullmatch, pieces)):
        return _word_share(value) >= 0.5
    return len(re.findall(r"[A-Z][a-z]", value)) >= 2 and _word_share(value) >= 0.8


def _word_share(value: str) -> float:
    """How much of the letters and digits is in words of three letters and more."""
    humps = [each for each in _HUMP.findall(value) if len(each) >= 3 and not _NO_WORD.search(each)]
    return sum(map(len, humps)) / max(1, sum(map(str.isalnum, value)))
