"""The sandbox's own trouble is no sample's failure, and no sample's way out of the count."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox_helpers import GOOD, HASTY, TEST, box, decide, unharmed

import codegen25
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.sandbox.inside.confine import Confinement
from codegen25.evaluate.sandbox.inside.settings import LEVELS, LIMITS
from codegen25.evaluate.sandbox.pool import STRICT
from codegen25.evaluate.sandbox.root import Root

SOURCE = Path(codegen25.__file__).parents[1]


@pytest.fixture(scope="module", params=LEVELS)
def any_level(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param) as made:
        yield made


@pytest.mark.parametrize("stages", ["both", STRICT])
def test_a_fork_that_cannot_be_confined_is_tried_again(any_level: Sandbox, stages: str) -> None:
    """Its folder is gone, so it has nowhere to go; a new worker makes another."""
    for folder in any_level._root.path.glob("*/"):
        shutil.rmtree(folder)
    verdict = decide(any_level, GOOD.source, stages=stages)
    assert verdict.passed, verdict
    assert unharmed(any_level)


def test_a_worker_tries_its_confinement_before_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    confinement = object.__new__(Confinement)
    entered: list[bool] = []

    def enter(self: Confinement, keep: int, cpu_seconds: float, script: bool = False) -> int:
        entered.append(script)
        if script:
            raise OSError(1, "no filter")
        return keep

    monkeypatch.setattr(Confinement, "enter", enter)
    with pytest.raises(OSError, match=r"a fork cannot be confined: PermissionError.*no filter"):
        confinement.attempt()
    assert entered == []  # not this process


def descendants(process: int) -> set[int]:
    """By the kernel's lists, which are quick to read."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return set()
    children = set(map(int, text.split()))
    return children.union(*map(descendants, children))


@contextmanager
def killing(sandbox: Sandbox, times: int) -> Iterator[list[int]]:
    """Kills, from outside, that many of the processes that a sandbox starts meanwhile."""
    [worker] = sandbox._workers
    own = descendants(worker._process.pid)
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.is_set() and len(killed) < times:
            time.sleep(0.002)
            for each in descendants(worker._process.pid) - {*own, *killed}:
                killed.append(each)
                os.kill(each, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


SLOW = "import time\ntime.sleep(0.3)\ndef f(x): return x + 1"


def test_a_sample_that_somebody_else_kills_is_tried_once_more(any_level: Sandbox) -> None:
    with killing(any_level, 1) as killed:
        verdict = decide(any_level, SLOW, stages=STRICT)
    assert verdict.passed and len(killed) == 1, verdict
    with killing(any_level, 2) as killed:
        verdict = decide(any_level, SLOW, stages=STRICT)
    expected = "crashed" if any_level.level == LIMITS else "oom"  # it may have killed itself there
    assert verdict.status == expected and len(killed) == 2, verdict
    assert unharmed(any_level)


HELPERS = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(10 ** 6)",
    "one long operation": "7 ** 10 ** 9",
    "error": "1 / 0",
    "exit": "raise SystemExit",
    "sudden exit": "import os\nos._exit(0)",
}


@pytest.mark.parametrize("name", HELPERS)
def test_helpers_have_their_clock_too(name: str) -> None:
    test = "def check(candidate):\n    assert candidate(2) == 1 + double(1)\n"
    helpers = f"def double(x): return 2 * x\n{HELPERS[name]}\n"
    with box(LIMITS, limits=HASTY) as sandbox:
        verdict = decide(sandbox, GOOD.source, test, helpers=helpers)
        assert verdict.status == "infra-error" and "its helpers" in verdict.detail, verdict
        assert unharmed(sandbox)


ATTACK = """
import ctypes, os
call = ctypes.CDLL(None, use_errno=True)
def f(x):
    keeper = os.getppid()
    judge, *_ = map(int, open(f"/proc/{keeper}/task/{keeper}/children").read().split())
    for process in (keeper, judge):
        try:
            open(f"/proc/{process}/mem", "r+b")
            return "memory"
        except PermissionError: pass
        handle = os.pidfd_open(process)
        if any(call.syscall(438, handle, n, 0) >= 0 for n in range(20)): return "descriptor"
        if call.ptrace(0x4206, process, 0, 0) >= 0: return "ptrace"
    return x + 1
"""


def test_at_the_lowest_level_the_judges_memory_is_shut() -> None:
    """As a user that is not root, which may look into whatever it likes."""
    code = (
        "from codegen25.evaluate.sandbox import Program, Sandbox\n"
        "with Sandbox(1, 'limits') as box:\n"
        f"    [(_, verdict)] = box.run([Program({ATTACK!r}, 'f', {TEST!r})])\n"
        "    print(verdict)\n"
    )
    nobody = 65534 if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        environment = {"PYTHONPATH": str(SOURCE), "TMPDIR": folder}
        try:
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True,
                text=True, timeout=60, user=nobody, group=nobody,
                extra_groups=[] if nobody else None,
            )  # fmt: skip
        except PermissionError:
            pytest.skip("another user cannot run this Python")
    if "No module named" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this source")
    assert "status='passed'" in done.stdout, done


def test_workers_have_their_memory_shut(any_level: Sandbox) -> None:
    """A candidate's is, so those of keeper and judge are: it has it from them."""
    source = "import ctypes\ndef f(x): return x + 1 + ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)"
    assert decide(any_level, source).passed


SHUT = """
import ctypes, os
from codegen25.evaluate.sandbox.inside import libc
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
libc.prctl(libc.PR_SET_DUMPABLE, 1)
call, target = ctypes.CDLL(None, use_errno=True), os.getpid()
def attacked():
    child = os.fork()
    if child == 0:
        found = call.syscall(438, os.pidfd_open(target), 1, 0) >= 0
        try: found = bool(open(f"/proc/{target}/mem", "r+b"))
        except PermissionError: pass
        os._exit(found)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
before = attacked()
libc.shut_memory()
print(before, attacked())
"""


def test_memory_that_is_shut_is_shut_to_other_processes_of_the_user() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHUT], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    if done.stdout == "0 0\n":
        pytest.skip("here processes of one user cannot look into each other anyway")
    assert done.stdout == "1 0\n", done


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os\nfrom codegen25.evaluate.sandbox.root import Root\n"
        "print(Root().folder(), flush=True)\nos.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = [sys.executable, "-c", code]
    left = subprocess.run(run, env=environment, capture_output=True, text=True).stdout.strip()
    begun = tmp_path / "codegen25-sandbox-begun"
    begun.mkdir()
    other = tmp_path / "codegen25-sandbox-other"
    other.symlink_to(tmp_path)
    assert Path(left).is_dir()
    first, second = Root(), Root()
    assert not Path(left).parent.exists()
    assert first.path.is_dir() and second.path.is_dir() and begun.is_dir() and other.is_symlink()
    first.remove()
    first.remove()
    assert not first.path.exists() and second.path.exists()
    second.remove()
