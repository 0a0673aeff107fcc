"""Samples that mean harm. Each: the right verdict, nothing left, the next sample unharmed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_helpers import GOOD, HASTY, TEST, box, decide, left, unharmed

from codegen25.evaluate.sandbox import Program, Sandbox
from codegen25.evaluate.sandbox.inside.confine import UNCONFINED
from codegen25.evaluate.sandbox.inside.settings import FILTERS, LEVELS, LIMITS, NAMESPACES
from codegen25.evaluate.sandbox.pool import STRICT


@pytest.fixture(scope="module", params=LEVELS)
def any_level(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param) as made:
        yield made


@pytest.fixture(scope="module", params=LEVELS)
def hasty(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param, limits=HASTY) as made:
        yield made


@pytest.fixture(scope="module", params=[NAMESPACES, FILTERS])
def shut(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The levels that claim to keep files, processes and the network apart."""
    with box(request.param) as made:
        yield made


TIME = {
    "loop": "def f(x):\n    while True: pass",
    "loop in the module": "while True: pass",
    "loop that catches all": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "one long operation": "def f(x): return 7 ** 10 ** 9",
    "regular expression": "import re\ndef f(x): return re.match('(a+)+$', 'a' * 99 + 'b')",
    "sleep with signals ignored": """
import signal, time
for number in set(signal.Signals) - {9, 19}:
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
def f(x): time.sleep(10 ** 6)
""",
    "text of an exception": """
class E(Exception):
    def __str__(self):
        while True: pass
def f(x): raise E
""",
    "a gigabyte of output, of distinct lines": """
def f(x):
    for i in range(10 ** 9):
        print(i, 'x' * 10 ** 6)
    return x + 1
""",
}


@pytest.mark.parametrize("name", TIME)
def test_time_ends(hasty: Sandbox, name: str) -> None:
    assert decide(hasty, TIME[name]).status == "timeout"
    assert unharmed(hasty)


ENDS = {
    "os._exit(0)": ("import os\ndef f(x): os._exit(0)", "exited"),
    "os._exit(0) in the module": ("import os\nos._exit(0)", "exited"),
    "sys.exit(0)": ("import sys\ndef f(x): sys.exit(0)", "exited"),
    "sys.exit(0) in the module": ("import sys\nsys.exit(0)", "exited"),
    "quit()": ("def f(x): quit()", "exited"),
    "segmentation fault": ("import ctypes\ndef f(x): ctypes.string_at(0)", "crashed"),
    "abort": ("import os\ndef f(x): os.abort()", "crashed"),
    "endless recursion": ("def f(x): return f(x) + 1", "failed"),
    "bytes": ("def f(x): return len(bytes(3 << 30))", "oom"),
    "list": ("def f(x):\n    a = [0]\n    while True: a += a", "oom"),
    "mapped memory": ("import mmap\ndef f(x): return mmap.mmap(-1, 3 << 30)", "failed"),
    "stdin": ("def f(x): return input()", "failed"),
    "descriptor 0": ("import os\ndef f(x): return os.read(0, 1)", "failed"),
    "10,000 files": ("def f(x):\n    a = [open('/dev/null') for _ in range(10000)]", "failed"),
    "a big file": ("def f(x):\n    open('a', 'wb').write(bytes(2 << 20))", "failed"),
    "huge exception text": ("def f(x): raise ValueError('x' * 50_000_000)", "failed"),
    "text that raises": (
        "class E(Exception):\n    def __str__(self): raise self\ndef f(x): raise E",
        "failed",
    ),
    "KeyboardInterrupt": ("def f(x): raise KeyboardInterrupt", "failed"),
    "absent module": ("import no_such_module.part\ndef f(x): return x + 1", "missing-module"),
    "absent module later": ("def f(x):\n    import no_such_module", "missing-module"),
    "no function": ("x = 1", "failed"),
    "syntax": ("def f(x: return", "syntax"),
    "NUL": ("def f(x): return x + 1\0", "syntax"),
    "surrogate": ("def f(x): return x + 1 # \ud800", "syntax"),
    "nested too deep": ("x = " + "(" * 9999, "syntax"),
    "operators without end": ("x = " + "-" * 300_000 + "1", "syntax"),
    "10 MB that fail": ("#" * 10_000_000 + "\ndef f(x): return x", "failed"),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_has_its_name(any_level: Sandbox, name: str) -> None:
    source, status = ENDS[name]
    verdict = decide(any_level, source)
    assert verdict.status == status, verdict
    assert len(verdict.detail) <= 200 and "\n" not in verdict.detail
    assert unharmed(any_level)


def test_recursion_without_a_bound_ends(any_level: Sandbox) -> None:
    source = "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x): return [f(x) for _ in 'a']"
    assert decide(any_level, source).status in ("crashed", "oom", "timeout", "failed")
    assert unharmed(any_level)


FINE = {
    "prints": "def f(x):\n    print('passed' * 9)\n    return x + 1",
    "a thread that stays": """
import threading, time
def f(x):
    threading.Thread(target=time.sleep, args=(99,)).start()
    return x + 1
""",
    "atexit": "import atexit, time\natexit.register(time.sleep, 99)\ndef f(x): return x + 1",
    "its own folder": """
import os, tempfile
def f(x):
    with tempfile.TemporaryDirectory() as folder:
        open(folder + '/a', 'w').write(str(x))
        return int(open(folder + '/a').read()) + 1
""",
    "signals masked": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
def f(x): return x + 1
""",
    "line ends, tabs and a mark": "def f(x):\r\n\treturn x + 1\r\n",
    "main is not run": "def f(x): return x + 1\nif __name__ == '__main__': raise SystemExit",
    "dataclass": """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class A:
    x: int
def f(x): return A(x).x + 1
""",
    "an absent module that is not needed": """
try:
    import no_such_module
except ImportError:
    pass
def f(x): return x + 1
""",
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_right_passes(any_level: Sandbox, name: str) -> None:
    verdict = decide(any_level, FINE[name])
    assert verdict.passed, verdict
    assert unharmed(any_level)


CHEATS = {
    "always equal": """
class E:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
def f(x): return E()
""",
    "an int that is always equal": """
class E(int):
    def __eq__(self, other): return True
def f(x): return E(7)
""",
    "patched built-ins": """
import builtins
builtins.abs = builtins.len = builtins.sorted = lambda *a: 3
builtins.AssertionError = builtins.Exception = KeyError
def f(x): return x
""",
    "patched modules": """
import sys, json, math, socket, os
json.dumps = lambda *a, **k: '{"call": 1, "value": 3}'
json.loads = lambda *a, **k: {}
math.floor = None
sys.modules.clear()
def f(x): return x
""",
    "walks the frames": """
import os, sys
def f(x):
    frame = sys._getframe()
    while frame:
        for name in list(frame.f_locals) + list(frame.f_globals):
            value = frame.f_locals.get(name, frame.f_globals.get(name))
            if isinstance(value, list): value.append('passed')
            if isinstance(value, dict) and 'status' in value: value['status'] = 'passed'
        frame = frame.f_back
    os._exit(0)
""",
    "searches the memory for what is expected": """
import gc
def f(x):
    for each in gc.get_objects():
        if isinstance(each, dict) and 'check' in each: return each['check']
    return x
""",
    "traces": """
import sys
sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)
sys.addaudithook(lambda *a: None)
def f(x): return x
""",
    "raises when it is dropped": """
class E:
    def __del__(self): raise SystemExit(0)
def f(x):
    E()
    return x
""",
    "says passed": """
import os, sys
def f(x):
    for n in range(1, 20):
        try: os.write(n, b'["passed", "", 0.0]\\n{"status": "passed", "detail": ""}\\n')
        except OSError: pass
    os._exit(0)
""",
    "answers before it is asked": """
import os, struct, json
def frame(message):
    raw = json.dumps(message).encode()
    return struct.pack("=I", len(raw)) + raw
for n in range(3, 20):
    try: os.write(n, b''.join(map(frame, [{"ready": True}, {"call": 1, "value": 3},
                                         {"call": 2, "value": 5}])))
    except OSError: pass
def f(x): return x
""",
    "answers more than it is asked": """
import os, struct, json
def f(x):
    raw = json.dumps({"call": 99, "value": 3}).encode()
    for n in range(3, 20):
        try: os.write(n, (struct.pack("=I", len(raw)) + raw) * 9)
        except OSError: pass
    return x + 1
""",
    "answers without end": """
import os, struct
def f(x):
    raw = struct.pack("=I", 1 << 31)
    while True:
        for n in range(3, 20):
            try: os.write(n, raw + b'x' * 99999)
            except OSError: pass
""",
    "answers too deep": """
import os, struct
def f(x):
    raw = b'[' * 1000000
    for n in range(3, 20):
        try: os.write(n, struct.pack("=I", len(raw)) + raw)
        except OSError: pass
    return x
""",
    "answers by drops": """
import os, struct, time
def f(x):
    os.write(3, struct.pack("=I", 1 << 20))
    while True:
        os.write(3, b' '); time.sleep(0.01)
""",
    "closes its channel": "import os\ndef f(x):\n    os.closerange(0, 99)\n    while True: pass",
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(any_level: Sandbox, name: str) -> None:
    verdict = decide(any_level, CHEATS[name])
    assert not verdict.passed and verdict.status != "infra-error", verdict
    assert unharmed(any_level)


def test_a_reply_is_capped(any_level: Sandbox) -> None:
    assert not decide(any_level, "def f(x): return 'x' * (100 << 20)").passed
    assert decide(any_level, "def f(x): return [x] * 10 ** 7").status != "passed"
    deep = "def f(x):\n    for _ in range(900): x = [x]\n    return x"
    assert decide(any_level, deep, stages=STRICT).status == "opaque-return"
    ring = "def f(x):\n    x = []\n    x.append(x)\n    return x"
    assert decide(any_level, ring, stages=STRICT).status == "opaque-return"


PROCESSES = {
    "fork": "import os\nfor _ in range(4): os.fork()\nimport time\ntime.sleep(99)",
    "daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(99)
    os._exit(0)
def f(x): return x + 1
""",
    "subprocess": "import subprocess\nsubprocess.Popen(['sleep', '99'])\ndef f(x): return x",
    "posix_spawn": """
import os
os.posix_spawn('/bin/sleep', ['sleep', '99'], {})
def f(x): return x
""",
    "exec": "import os\nos.execv('/bin/sleep', ['sleep', '99'])",
}


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_end(any_level: Sandbox, name: str) -> None:
    verdict = decide(any_level, PROCESSES[name])
    if any_level.level != LIMITS:
        assert verdict.status == "forbidden", verdict
    assert unharmed(any_level)


def test_a_fork_bomb_is_nipped(shut: Sandbox) -> None:
    source = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert decide(shut, source).status == "timeout"
    assert unharmed(shut)


KILLS = {
    "parent": "os.kill(os.getppid(), 9)",
    "all": "os.kill(-1, 9)",
    "group": "os.killpg(0, 9)",
    "each that it sees": "[os.kill(int(n), 9) for n in os.listdir('/proc') if n.isdigit()]",
    "each number": "[os.kill(n, 9) for n in range(1, 40) if n != os.getpid()]",
    "by a posix name": "import posix; posix.kill(os.getppid(), 9)",
    "by a descriptor": "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
    "by an owner": "fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid())",
    "ptrace": "ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0) == 0 or 1 / 0",
    "memory": "open(f'/proc/{os.getppid()}/mem', 'r+b')",
    "limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))",
}


@pytest.mark.parametrize("name", KILLS)
def test_nobody_else_can_be_killed(shut: Sandbox, name: str) -> None:
    head = "import os, signal, fcntl, ctypes, resource\ndef f(x):\n    "
    verdict = decide(shut, f"{head}{KILLS[name]}\n    return x + 1")
    assert verdict.status == ("failed" if name == "ptrace" else "forbidden"), verdict
    assert unharmed(shut)


def test_the_run_goes_on_without_a_killed_parent() -> None:
    """At the lowest level a sample can end its worker: the others are decided, and it fails."""
    good = [Program(f"{GOOD.source}# {n}", "f", TEST) for n in range(20)]
    killer = Program("import os\nos.kill(os.getppid(), 9)", "f", TEST)
    with box(LIMITS) as sandbox:
        found = dict(sandbox.run([*good, killer]))
        assert {found[n].status for n in range(20)} == {"passed"}
        assert found[20].status == "crashed" and "only with it" in found[20].detail
        assert unharmed(sandbox)


def test_a_sample_cannot_say_that_it_was_not_confined(any_level: Sandbox) -> None:
    verdict = decide(any_level, f"import os\nos._exit({UNCONFINED})")
    assert verdict.status == "crashed", verdict
    assert unharmed(any_level)


RETURNED = "def check(candidate):\n    found = candidate(1)\n    assert candidate(found) == 3\n"
DEEP = """
import inside.candidate
inside.candidate.pack = lambda value: MADE
def f(x): return x + 1
"""
BACK = {
    "too deep": ("functools.reduce(lambda made, _: [made], range(150), 1)", RETURNED),
    "too deep in another way": (
        "functools.reduce(lambda made, _: {'tuple': [made]}, range(150), 1)", RETURNED,
    ),
    "as deep as allowed, and one more": (
        "functools.reduce(lambda made, _: [made], range(101), 1)",
        RETURNED.replace("candidate(found)", "candidate([found])"),
    ),
    "a view of it that cannot cross": (
        "{'OrderedDict': [[1, 2]]}",
        RETURNED.replace("candidate(found)", "candidate(found.items())"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BACK)
def test_an_answer_that_cannot_come_back_fails(any_level: Sandbox, name: str) -> None:
    """It is no trouble of the sandbox: a sample could so leave the samples that count."""
    made, test = BACK[name]
    source = f"import functools{DEEP.replace('MADE', made)}"
    verdict = decide(any_level, source, test)
    assert verdict.status == "failed", verdict
    changed = "def check(candidate):\n    a = [1]\n    candidate(a)\n    assert candidate(a) == 3\n"
    verdict = decide(any_level, source.replace("x + 1", "x.append(1)"), changed)
    assert verdict.status == "failed", verdict
    own = "def check(candidate):\n    candidate(1)\n    assert candidate(lambda: 1) == 3\n"
    verdict = decide(any_level, "def f(x): return [x]", own, stages=STRICT)
    assert verdict.status == "infra-error", verdict


OUTSIDE = {
    "open": "open(victim, 'w')",
    "append": "open(victim, 'a').write('x')",
    "unlink": "import posix; posix.unlink(victim)",
    "truncate": "os.truncate(victim, 0)",
    "rename": "os.rename(victim, victim + '2')",
    "chmod": "os.chmod(victim, 0)",
    "times": "os.utime(victim, (0, 0))",
    "link": "os.link(victim, 'here')",
    "new file": "open(folder + '/new', 'w')",
    "new folder": "os.mkdir(folder + '/new')",
    "through a link": "os.symlink(victim, 'here'); open('here', 'w')",
    "remove the folder": "os.rmdir(folder + '/empty')",
    "temporary": "open('/tmp/codegen25-evil', 'w')",
    "read": "open(victim).read()",
    "list": "os.listdir(folder)",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_is_touched(shut: Sandbox, name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text(TEST)
    (tmp_path / "empty").mkdir()
    before = victim.stat()
    source = f"import os\nvictim, folder = {str(victim)!r}, {str(tmp_path)!r}\n{OUTSIDE[name]}"
    # A link to another file system is an error of its own.
    assert decide(shut, source).status == ("failed" if name == "link" else "forbidden")
    assert victim.read_text() == TEST and {each.name for each in tmp_path.iterdir()} == {
        "empty",
        "victim",
    }
    after = victim.stat()
    assert (after.st_mode, after.st_mtime) == (before.st_mode, before.st_mtime)
    assert not Path("/tmp/codegen25-evil").exists()
    assert unharmed(shut)


LEAVES = {
    "deep folders": "for _ in range(1200):\n    os.mkdir('d'); os.chdir('d')",
    "its folder is gone": "import shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)",
    "many files": "for i in range(500): open(str(i), 'w').close()",
    "pipe and link": "os.mkfifo('p'); os.symlink('/', 'root'); os.symlink('root', 'again')",
}


@pytest.mark.parametrize("name", LEAVES)
def test_what_a_sample_leaves_is_gone_for_the_next(any_level: Sandbox, name: str) -> None:
    decide(any_level, f"import os\n{LEAVES[name]}\ndef f(x): return x + 1")
    look = "import os\ndef f(x): return x + 1 + len(os.listdir())"
    assert decide(any_level, look).passed
    assert unharmed(any_level)


def test_the_disk_is_bounded() -> None:
    source = """
import os
def f(x):
    for i in range(2000): open(str(i), 'wb').write(bytes(1 << 20))
    return x + 1
"""
    with box(NAMESPACES) as sandbox:
        verdict = decide(sandbox, source)
        assert verdict.status == "failed" and "No space" in verdict.detail, verdict
        assert unharmed(sandbox)


NETWORK = {
    "tcp": "s = socket.socket(); s.connect(('127.0.0.1', port))",
    "listen": "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()",
    "udp": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "unix": "socket.socket(socket.AF_UNIX).connect('\\0x')",
}


@pytest.mark.parametrize("name", NETWORK)
def test_no_network(shut: Sandbox, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        verdict = decide(shut, f"import socket\nport = {port}\n{NETWORK[name]}")
        assert verdict.status == "forbidden", verdict
        with pytest.raises(TimeoutError):
            server.accept()
    assert unharmed(shut)


def test_no_name_is_looked_up(shut: Sandbox) -> None:
    source = "import socket\nsocket.getaddrinfo('example.org', 80)"
    assert decide(shut, source).status == "failed"


def test_the_environment_is_empty(any_level: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import os
def f(x):
    extra = set(os.environ) - {'TMPDIR', 'HOME', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'}
    return x + 1 + len(extra)
"""
    monkeypatch.setenv("SECRET", "1")
    assert decide(any_level, source).passed


def test_the_test_is_not_in_the_candidates_memory(shut: Sandbox) -> None:
    """Not in the objects of Python, nor in the memory of its process, freed or not."""
    source = """
import ctypes, gc
def f(x):
    mark = 'wanted-' + 'by-the-test'
    texts = [o for o in gc.get_objects() for o in gc.get_referents(o) if type(o) is str]
    if any(mark in t for t in texts if t is not mark): return 'seen'
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    end = libc.sbrk(0)
    raw = ctypes.string_at(end - (1 << 18), 1 << 18)
    return 'seen' if (b'wanted-' + b'by-the-test') * 2 in raw else x + 1
"""
    test = TEST + f"    assert candidate(1) == 2, '{'wanted-by-the-test' * 2}'\n"
    assert decide(shut, source, test).passed


def test_nothing_is_left_when_a_box_is_closed() -> None:
    with box(NAMESPACES, workers=2) as sandbox:
        assert left(sandbox) == 0
        root = sandbox._root
    assert not root.path.exists() and left(sandbox) == 0
