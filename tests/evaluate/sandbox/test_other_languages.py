from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from sandbox_helpers import box, decide, left

from codegen25.errors import UserError
from codegen25.evaluate.sandbox import Program, Sandbox, interpreters
from codegen25.evaluate.sandbox.inside import landlock
from codegen25.evaluate.sandbox.inside.settings import FILTERS, LEVELS, LIMITS, NAMESPACES

SAMPLES = {
    "javascript": (
        "function f(x) { return x + 1; }",
        "const assert = require('assert'); assert.strictEqual(f(2), 3);",
        "AssertionError",
        "while (true) {}",
        "require('fs').writeFileSync('/tmp/codegen25-evil', 'x');",
    ),
    "shell": (
        "f() { echo $(($1 + 1)); }",
        '[ "$(f 2)" = 3 ] || { echo "AssertionError: wrong" >&2; exit 1; }',
        "AssertionError",
        "while :; do :; done",
        "set -e; echo x > /tmp/codegen25-evil",
    ),
    "perl": (
        "sub f { return $_[0] + 1; }",
        'f(2) == 3 or die "AssertionError: wrong";',
        "AssertionError",
        "while (1) {}",
        "open(my $h, '>', '/tmp/codegen25-evil') or die 'denied';",
    ),
}


@pytest.fixture(scope="module", params=LEVELS)
def any_level(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param) as made:
        yield made


@pytest.mark.parametrize("language", SAMPLES)
def test_the_exit_code_decides(any_level: Sandbox, language: str) -> None:
    if language not in interpreters.available():
        pytest.skip(f"no interpreter of {language} here")
    right, test, said, loop, write = SAMPLES[language]
    assert decide(any_level, right, test, language=language).passed
    wrong = decide(any_level, right.replace("1", "2", 1), test, language=language)
    if language != "perl":
        assert wrong.status == "failed" and said in wrong.detail, wrong
    verdict = decide(any_level, loop, test, language=language)
    assert verdict.status == "timeout", verdict
    if any_level.level != LIMITS:
        verdict = decide(any_level, write, "", language=language)
        assert verdict.status == "failed", verdict
    assert left(any_level) == 0


def test_processes_of_a_script_end_with_it(any_level: Sandbox) -> None:
    began = time.monotonic()
    daemon = "(setsid sleep 99 >/dev/null 2>&1 &)\nsleep 99 2>/dev/null &\nexit 0"
    assert decide(any_level, daemon, "", language="shell").passed
    assert time.monotonic() - began < 20
    assert left(any_level) == 0


@pytest.fixture(scope="module", params=[NAMESPACES, FILTERS])
def shut(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The levels that claim to keep files, processes and the network apart."""
    with box(request.param) as made:
        if made.level == FILTERS and landlock.version() < landlock.SIGNALS:
            pytest.skip("this kernel confines no signals")
        yield made


def test_a_script_kills_nobody_else(shut: Sandbox) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    try:
        kill = f"kill -9 $PPID\nkill -9 {victim.pid}\nexit 3"
        verdict = decide(shut, kill, "", language="shell")
        assert verdict.status == "failed", verdict
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
    assert decide(shut, "exit 0", "", language="shell").passed and left(shut) == 0


def test_a_script_that_kills_itself_crashed(any_level: Sandbox) -> None:
    verdict = decide(any_level, "kill -9 $$", "", language="shell")
    assert verdict.status == "crashed", verdict


CONNECT = {
    "shell": "exec 3<>/dev/tcp/127.0.0.1/PORT",
    "perl": "use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0) or die;"
    "connect($s, sockaddr_in(PORT, inet_aton('127.0.0.1'))) or die;",
    "javascript": "require('net').connect(PORT, '127.0.0.1');",
}


@pytest.mark.parametrize("language", CONNECT)
def test_a_script_has_no_network(shut: Sandbox, language: str) -> None:
    if not interpreters.available().get(language, [""])[0].endswith(("bash", "perl", "node")):
        pytest.skip(f"no interpreter of {language} here that connects")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        source = CONNECT[language].replace("PORT", str(server.getsockname()[1]))
        assert not decide(shut, source, "", language=language).passed
        with pytest.raises(TimeoutError):
            server.accept()


def test_scripts_are_refused_where_their_signals_are_not_confined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 5)
    with box(FILTERS) as sandbox:
        with pytest.raises(UserError, match="language 'shell': 'filters' cannot confine"):
            next(sandbox.run([Program("exit 0", "f", "", language="shell")]))
        assert decide(sandbox, "def f(x): return x + 1").passed


def test_a_fork_bomb_of_a_script_is_nipped() -> None:
    with box(NAMESPACES) as sandbox:
        bomb = "b() { b | b & b; }\nfor i in 1 2 3 4 5 6 7; do b 2>/dev/null; done"
        verdict = decide(sandbox, bomb, "", language="shell")
        assert not verdict.passed
        assert decide(sandbox, "exit 0", "", language="shell").passed
        assert left(sandbox) == 0


def test_a_missing_interpreter_is_said_before_anything_runs(any_level: Sandbox) -> None:
    missing = sorted(set(interpreters._CANDIDATES) - set(interpreters.available()))
    if missing:
        with pytest.raises(UserError, match=f"language '{missing[0]}': install"):
            next(any_level.run([Program("", "f", "", language=missing[0])]))
    with pytest.raises(UserError, match="language 'klingon'"):
        next(any_level.run([Program("", "f", "", language="klingon")]))
