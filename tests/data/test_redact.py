from __future__ import annotations

import ast
import random
import string
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.data import redact
from codegen25.data.documents import Document
from codegen25.data.redact import EMAIL, KEY, PASSWORD, Redaction, find
from codegen25.errors import UserError

pytest.importorskip("detect_secrets", reason="detect-secrets (codegen25[data]) is not installed")

# Secrets are put together here, so that nobody's scanner takes this file for a leak.
LETTERS = string.ascii_letters + string.digits
DRAW = random.Random(0)


def made(length: int, alphabet: str = LETTERS) -> str:
    return "".join(DRAW.choice(alphabet) for _ in range(length - 2)) + "7q"


GITHUB = "ghp_" + made(36)
AWS = "AKIA" + made(14, string.ascii_uppercase + string.digits).upper() + "B2"
SLACK = "xox" + "b-123456789012-" + made(24)
STRIPE = "sk_live_" + made(24)
HEX = "".join(DRAW.choice("0123456789abcdef") for _ in range(40))
BASE64 = made(44)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + made(43)
HEX32 = HEX[:32]
GOOGLE = "AIza" + made(35, LETTERS + "_-")
HUGGING_FACE = "hf_" + "".join(DRAW.choice(string.ascii_letters) for _ in range(34))
GITHUB_PAT = "github_pat_" + made(22) + "_" + made(59)
ANTHROPIC = "sk-" + "ant-api03-" + made(93, LETTERS + "_-") + "AA"
OPENAI = "sk-" + "proj-" + made(120, LETTERS + "_-")
SIGNS = string.ascii_lowercase + string.digits + "!@#$%^&*(-_=+)"
DJANGO = "django-" + "insecure-" + made(42, SIGNS) + "!@#$("
OLD_DJANGO = made(50, SIGNS)
BODY = "\n".join(made(64) for _ in range(6))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----\n"


def cleaned(text: str, language: str = "python") -> str:
    return redact.substitute(text, find(text, language))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Ann Lee <ann.lee+git@uni-x.edu>", f"# Ann Lee <{EMAIL}>"),
        ("mail ann@lee.co.uk, please", f"mail {EMAIL}, please"),
        ("mailto:ann@lee.io.", f"mailto:{EMAIL}."),
        ('"\\nann@lee.org\\n"', f'"\\n{EMAIL}\\n"'),
        ("é ann@lee.org é", f"é {EMAIL} é"),
        ("ann@lee.org,bob@lee.org", f"{EMAIL},{EMAIL}"),
        ("# Ann, ann@lee.berlin", f"# Ann, {EMAIL}"),
        ("ann@code.ninja ann@lee.photography", f"{EMAIL} {EMAIL}"),
        ("Ann <ann@lee.zuerich>", f"Ann <{EMAIL}>"),
        ("author_email = 'ann@lee.zuerich'", f"author_email = '{EMAIL}'"),
        ("mailto:ann@lee.py", f"mailto:{EMAIL}"),
        ("ann@lee.com.py", EMAIL),
        ("ann@müller.de", EMAIL),
        ("ann@xn--mller-kva.de ann@lee.xn--p1ai", f"{EMAIL} {EMAIL}"),
        ("анна@почта.рф", EMAIL),
        ("ann@163.com ann@00000002.iam.lee.com", f"{EMAIL} {EMAIL}"),
    ],
)
def test_addresses_of_people_go(text: str, expected: str) -> None:
    assert cleaned(text) == expected
    assert [f.kind for f in find(text)] == ["email"] * expected.count(EMAIL)


@pytest.mark.parametrize(
    "text",
    [
        "@app.route('/')\ndef f(): ...",
        "@pytest.mark.it",
        "ssh ann@host ls",
        "scp a ann@server:/tmp",
        "ann@example.com ann@mail.example.org ann@lee.test ann@lee.local",
        "git clone git@github.com:a/b.git",
        "git+ssh://ann@host.org/a",
        "lodash@4.17.21",
        "icon@2x.png",
        "y = left@right.T",
        "y = left@right.dot(z)",
        "y = left@right.mT",
        "%s@%s.com",
        "f'{user}@lee.org'",
        "a @ b.com",
        "@ann.com",
        '"@types/node@18.it"',
        "node@18.it",
        "node@v18.dev lib@1.2.0-rc.dev",
        "foo@bar.py",
        "getty@tty1.service",
        "icon@large.png <icon@large.png>",
        "this@Activity.window",
        "# y = x@self.weight",
    ],
)
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("server = '52.95.4.28'", False),
        ("dns 5.6.7.8", False),
        ("ping 203.1.113.13:80", False),
        ("http://[2a02:6b8:7c:40c:c51e:495f:e23a:3]/", False),
        ("2620:0:1cfe:face:b00c::3", False),
        ("127.0.0.1 10.0.0.1 192.168.1.7 172.16.0.1 169.254.1.1", True),
        ("192.0.2.7 198.51.100.4 203.0.113.9", True),
        ("255.255.255.0 224.0.0.251 0.0.0.0 8.8.8.8", True),
        ("::1 fe80::1 2001:db8::8a2e:370:7334", True),
        ("version = '52.95.4.28'", True),
        ("pip install a==5.62.4.28", True),
        ("Chrome/91.0.4472.124 Safari", True),
        ("x = 5.6.7.8", True),
        ("1.3.6.1.4.1.311", True),
        ("oid 2.5.29.150", True),
        ('OID_X = "2.5.29.15"', True),
        ('oidKeyUsage = "2.16.840.1"', True),
        ('const keyUsageOID = "1.3.101.112"', True),
        ('key_usage_oid: "1.3.101.112"', True),
        ('new Oid("1.3.101.112")', True),
        ("{'2.5.29.15': 'keyUsage'}", True),
        ("ANDROID_SERVER = '2.57.101.112'", False),
        ("void ping(2.57.101.112)", False),
        ("oid_server = '52.95.4.28'", False),
        ("build-52.95.4.28.v3", True),
        ("999.95.4.28 52.095.4.28", True),
        ("std::vector<int> a[1::2] 12:34:56", True),
        ("00:1b:44:11:3a:b7 2001:44:11:3a:b7:00", True),
    ],
)
def test_addresses_of_hosts(text: str, kept: bool) -> None:
    assert ([f.kind for f in find(text)] == []) is kept
    assert (cleaned(text) == text) is kept


def test_an_address_has_one_replacement_of_five_private_ones() -> None:
    first, second = find("52.95.4.28 and 52.95.4.28")
    assert first.replacement == second.replacement
    drawn = {find(f"at 52.95.4.{i}")[0].replacement for i in range(1, 100)}
    assert drawn == set(redact.PRIVATE_V4)
    assert find("2620:0:1cfe:face:b00c::3")[0].replacement in redact.PRIVATE_V6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"g = '{GITHUB}'", f"g = '{KEY}'"),
        (f"# use {AWS} for now", f"# use {KEY} for now"),
        (f"call({SLACK!r})", f"call('{KEY}')"),
        (f"s = {STRIPE!r}", f"s = '{KEY}'"),
        (f"Authorization: Bearer {JWT}", f"Authorization: Bearer {KEY}"),
        (f"x = '{PEM}'", "x = '-----BEGIN RSA PRIVATE KEY-----\n<KEY>\n-----END"),
        (f"//npm.org/:_authToken=npm_{made(36)}", f"//npm.org/:_authToken={KEY}"),
        (f"API_KEY = '{HEX}'", f"API_KEY = '{KEY}'"),
        (f'{{"client_secret": "{BASE64}"}}', f'{{"client_secret": "{KEY}"}}'),
        (f"('token', b'{BASE64}')", f"('token', b'{KEY}')"),
        (f"k = '{GOOGLE}'", f"k = '{KEY}'"),
        (f"https://maps.org/api?key={GOOGLE}&x=1", f"https://maps.org/api?key={KEY}&x=1"),
        (f"login({HUGGING_FACE!r})", f"login('{KEY}')"),
        (f"g = '{GITHUB_PAT}'", f"g = '{KEY}'"),
        (f"k = '{ANTHROPIC}'", f"k = '{KEY}'"),
        (f"k = '{OPENAI}'", f"k = '{KEY}'"),
        (f"Authorization: Bearer {HEX32}", f"Authorization: Bearer {KEY}"),
        (f'{{"Authorization": "token {HEX}"}}', f'{{"Authorization": "token {KEY}"}}'),
        (f"SECRET_KEY = '{DJANGO}'", f"SECRET_KEY = '{KEY}'"),
        (f"config('K', default='{DJANGO}')", f"config('K', default='{KEY}')"),
        (f"SECRET_KEY = '{OLD_DJANGO}'", f"SECRET_KEY = '{KEY}'"),
        ("curl -u bob:S3cretPw99 https://lee.org", f"curl -u bob:{PASSWORD} https://lee.org"),
        ("curl -s --user 'bob:S3cret!pw' x", f"curl -s --user 'bob:{PASSWORD}' x"),
        ("['curl', '-u', 'bob:S3cretPw99']", f"['curl', '-u', 'bob:{PASSWORD}']"),
        ("password = 'Tr0ub4dor&3'", f"password = '{PASSWORD}'"),
        ("DB_PASSWORD: 'Tr0ub4dor&3'", f"DB_PASSWORD: '{PASSWORD}'"),
        ("postgres://ann:s3cretpw@db.lee.org/x", f"postgres://ann:{PASSWORD}@db.lee.org/x"),
    ],
)
def test_secrets_go(text: str, expected: str) -> None:
    assert cleaned(text).startswith(expected)
    assert Redaction.of(find(text)) == Redaction(keys=1)


def test_a_key_in_a_string_of_many_lines_goes_run_by_run() -> None:
    lines = "".join(f'    "{line}\\n"\n' for line in PEM.splitlines())
    assert cleaned(f"key = (\n{lines})\n").count(KEY) == 6
    assert all(line not in cleaned(f"key = (\n{lines})\n") for line in BODY.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        f"commit {HEX}",
        f"rev = '{HEX}'",
        f"sha256 = '{HEX}{HEX[:24]}'",
        f"'integrity': 'sha512-{BASE64}{BASE64}=='",
        f"token_hash = '{HEX}'",
        "token = '123e4567-e89b-12d3-a456-426614174000'",
        "api_key = 'YOUR_API_KEY_GOES_HERE_1'",
        "api_key = 'AKIA" + "IOSFODNN7EXAMPLE'",
        "secret = 'abcdefghijklmnopqrstuvwxyz0123456789'",
        "secret = '{{ vault.secret_2 }}'",
        "secret = '${SECRET_KEY_NUMBER_2}'",
        f"next_token = '{BASE64}'",
        "password = 'password'",
        "password = 'hunter'",
        "password = getpass('Password 1: ')",
        "password_file = '/etc/Passwords1.txt'",
        "token = tokens[index_of_the_token_2]",
        "token = 'a_long_identifier_of_words_2'",
        'token = "KEYWORD_ARGUMENT_1234_NAME"',
        'token = "tokenize_by_whitespace_2"',
        "token_class2 = {'secret_ref': 'V1LocalObjectReference'}",
        "('OAUTH2_CLIENT_SECRET', 'oauth2ClientSecret')",
        "password = 'Reset_Password_1'",
        ".sk-proj-this-is-a-class-of-css-and-no-key {}",
        "hf_model_for_token_classification_with_heads",
        "k = 'AIza" + "SyExampleExampleExampleExampleExample1'",
        "x = 'django-" + "insecure-change-this-before-you-deploy'",
        "Authorization: Bearer <token>",
        "Authorization: Bearer YOUR_ACCESS_TOKEN_GOES_HERE_1",
        "SECRET_KEY = 'os.environ.get(\"SECRET_KEY_2\")'",
        "SECRET_KEY = 'https://lee.org/?a=1&b=2&c=$d&e=f%20g#9z'",
        "secret_key = 'abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)'",
        "curl -u user:password https://lee.org",
        "curl -u $USER:$PASS2 x; curl -u <user>:<pass2>; curl -u u:API_TOKEN x",
        "encryption_key = 'arn:aws:kms:us-west-2:417498243647:key/c9fe2447-0795-4fda-9fbe'",
        "'tokenizers': 'tokenizers>=0.23.1,<0.24.0'",
        "docker run -u 1000:1000 x; ps -u bob:S3cretPw99",
        "postgres://user:password@db.lee.org/x",
        "postgres://postgres:postgres@localhost/x",
        "data = '" + "0123456789abcdef" * 8 + "'",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert find(text, "python") == []


def test_values_without_quotes_count_where_they_need_none() -> None:
    line = f"export API_TOKEN={made(50)}\n"
    assert cleaned(line, "shell") == f"export API_TOKEN={KEY}\n"
    assert cleaned(f"secret_key: {BASE64}\n", "yaml") == f"secret_key: {KEY}\n"
    assert find(line, "python") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("password: Summer2023!\n", f"password: {PASSWORD}\n"),
        ("  db_password: S3cretPw99  # of old\n", f"  db_password: {PASSWORD}  # of old\n"),
        ("password: *password_Alias1", ""),
        ("password: !Ref2Secret", ""),
        ("password: user.getPassword2;", ""),
        ("password: ${DB_PASSWORD_2}", ""),
        ("password: Change_Password_1", ""),
        ("password_hint: Summer2023!", ""),
        ("password: Summer 2023!", ""),
    ],
)
def test_passwords_without_quotes(line: str, expected: str) -> None:
    assert cleaned(line, "yaml") == (expected or line)
    assert find(line, "python") == []


def test_keys_are_found_and_names_are_not_whatever_the_draw() -> None:
    draw = random.Random(1)
    keys = ["".join(draw.choices(SIGNS, k=50)) for _ in range(500)]
    found = [find(f"SECRET_KEY = '{key}'") for key in keys]
    assert sum(map(bool, found)) > 485
    keys = ["".join(draw.choices(LETTERS + "_-", k=35)) for _ in range(500)]
    assert sum(bool(find(f"k = 'AIza{key}'")) for key in keys) > 490


def test_the_time_grows_with_the_text_only() -> None:
    hostile = ["AIza", "hf_a1", "sk-proj-", "bearer ", "curl -u a:", "a@", "a@b.", "password: a1B2",
               "-u a", "https://a:", "SECRET_KEY = '!a1", "\n ", "oid 1.2.", "<a@a-"]  # fmt: skip
    for each in hostile:
        start = time.process_time()
        find(each * (200_000 // len(each)), "yaml")
        assert time.process_time() - start < 5


def test_the_step_keeps_marks_at_their_characters() -> None:
    parts = ["# ann@lee.org\n", f"g = '{GITHUB}'\n", "clean = 1\n", "bob@lee.org"]
    ends = [sum(map(len, parts[: i + 1])) for i in range(4)]
    marks = ((0, "<a>"), (ends[0], "<b>"), (ends[0], "<c>"), (ends[1], "<d>"), (ends[3], "<e>"))
    document = Document("".join(parts), "a.txt", "a", marks=marks)
    result = redact.redact(document)
    expected = [f"# {EMAIL}\n", f"g = '{KEY}'\n", "clean = 1\n", EMAIL]
    assert result.text == "".join(expected)
    ends = [sum(map(len, expected[: i + 1])) for i in range(4)]
    assert result.marks == (
        (0, "<a>"), (ends[0], "<b>"), (ends[0], "<c>"), (ends[1], "<d>"), (ends[3], "<e>")
    )  # fmt: skip


def test_nothing_is_found_across_a_mark() -> None:
    document = Document("ann@lee.org", "a", "a", marks=((4, "<a>"),))
    assert redact.redact(document) is document


def test_python_still_parses() -> None:
    source = (
        f"'''ann@lee.org\n{PEM}'''\nKEY = '{GITHUB}'  # 52.95.4.28\n"
        "product = left@right.it\nhosts = ['52.95.4.28', \"\\tann@lee.org\"]\n"
        "password = f'Tr0ub4dor&3'\n"
    )
    result = redact.redact(Document(source, "a.py", "a", language="python")).text
    ast.parse(result)
    assert "left@right.it" in result and "ann@" not in result and GITHUB not in result
    assert PASSWORD in result and "52.95" not in result


def test_our_own_source_is_clean_and_stays_the_same_object(source_texts: list[str]) -> None:
    for text in (each for each in source_texts if "def redact(" not in each):
        document = Document(text, "a.py", "a", language="python")
        assert redact.redact(document) is document


PIECES = st.sampled_from(
    ["ann@lee.org", "52.95.4.28", GITHUB, f"api_key = '{HEX}'", "'", '"', "\\", "@", "x", "é", PEM,
     "http://a:b2c3d4@e.org", "::", "password='Tr0ub4dor&3'", ".", "=", "<KEY>", "1.2", "token: ",
     GOOGLE, GITHUB_PAT, OPENAI, f"secret_key='{DJANGO}'", f"Bearer {HEX32}", "-", "mailto:", "<",
     ">", "curl -u bob:S3cretPw99", "password: Summer2023!", "ann@müller.berlin", "oid="]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES).map("".join))
def test_findings_are_in_order(text: str) -> None:
    found = find(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= f.start < f.end <= len(text) for f in found)


@settings(deadline=None)
@given(st.lists(PIECES).map("\n".join))
def test_nothing_is_left_to_find(text: str) -> None:
    once = cleaned(text, "yaml")
    assert find(once, "yaml") == []
    assert not any(
        each in once
        for each in (GITHUB, HEX, BODY, "ann@lee", "52.95", "b2c3", "Tr0", "S3c", "Summer")
    )


def test_without_detect_secrets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("detect_secrets")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    redact._detector.cache_clear()
    with pytest.raises(UserError, match=r"codegen25\[data\]"):
        find("x = 1")
    redact._detector.cache_clear()
