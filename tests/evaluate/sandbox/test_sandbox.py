"""Right samples pass whatever the machine does, and verdicts depend on the samples alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sandbox_helpers import GOOD, HASTY, TEST, box, canonical, decide, left, running, unharmed

from codegen25.errors import UserError
from codegen25.evaluate.sandbox import Limits, Program, Sandbox, pool
from codegen25.evaluate.sandbox import inside as inside_package
from codegen25.evaluate.sandbox.inside import clocks
from codegen25.evaluate.sandbox.inside.settings import LEVELS
from codegen25.evaluate.sandbox.pool import FIRST, STRICT
from codegen25.evaluate.sandbox.process import Job, Worker


@pytest.fixture(scope="module", params=LEVELS)
def any_level(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param) as made:
        yield made


@pytest.fixture(scope="module", params=LEVELS)
def hasty(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with box(request.param, limits=HASTY) as made:
        yield made


FILES = {"HumanEval": 164, "HumanEval-SingleLineInfilling": 1033,
         "HumanEval-RandomSpanInfillingLight": 164}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_canonical_solutions_pass(humaneval: Path, name: str) -> None:
    programs = canonical(humaneval / f"{name}.jsonl.gz")
    with Sandbox() as sandbox:
        verdicts = dict(sandbox.run(programs))
    assert len(verdicts) == FILES[name]
    assert {i: v for i, v in verdicts.items() if not v.passed} == {}
    assert all(v.cpu_ms > 0 and v.memory_mb > 0 for v in verdicts.values())


@pytest.mark.parametrize("level", LEVELS)
def test_canonical_solutions_pass_at_every_level(humaneval: Path, level: str) -> None:
    programs = canonical(humaneval / "HumanEval.jsonl.gz")[::3]
    with box(level, workers=2) as sandbox:
        assert Counter(v.status for _, v in sandbox.run(programs)) == {"passed": len(programs)}


def test_canonical_solutions_pass_while_every_core_is_busy(humaneval: Path) -> None:
    programs = canonical(humaneval / "HumanEval.jsonl.gz")
    burn = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(burn) for _ in range(os.cpu_count() or 1)]
    try:
        with Sandbox(8) as sandbox:
            assert Counter(v.status for _, v in sandbox.run(programs)) == {"passed": 164}
    finally:
        for process in busy:
            process.kill()
            process.wait()


MIXED = [
    "def f(x):\n    return x + 1",
    "def f(x):\n    return x",
    "def f(x):\n    return str(x)",
    "def f(x):\n    return g(x)",
    "def f(x:",
    "import no_such_module",
    "import os\nos._exit(0)",
    "def f(x):\n    return f(x)",
    "def f(x):\n    while True: pass",
    "import math\nmath.floor = abs\ndef f(x): return x + 1",
    "import collections\nclass A:\n    def __eq__(self, o): return True\ndef f(x): return A()",
    "def f(x):\n    return len(bytes(3 << 30))",
    "import time\ndef f(x):\n    time.sleep(5)\n    return x + 1",
    "def f(x):\n    return {x + 1} | {'a', 'b', 'c'}",
    "def f(x):\n    n = 0\n    for i in range(400000): n += 1\n    return x + 1",
    "import random\ndef f(x):\n    return x + random.randint(0, 9)",
]


def test_verdicts_do_not_depend_on_the_number_of_workers(humaneval: Path) -> None:
    solutions = canonical(humaneval / "HumanEval.jsonl.gz")[:32]
    cut = [
        Program(p.source.rsplit("\n", 2)[0], p.entry_point, p.test, p.helpers) for p in solutions
    ]
    programs = [*(Program(f"{s}\n# {n}", "f", TEST) for n in (1, 2) for s in MIXED[n - 1 :: n])]
    programs += [*solutions, *cut]
    found = []
    for workers in (1, 8):
        with Sandbox(workers, limits=Limits(cpu_seconds=1.0)) as sandbox:
            verdicts = sandbox.run(programs)
            found.append({index: (v.status, v.detail) for index, v in verdicts})
    assert found[0] == found[1]
    assert len({status for status, _ in found[0].values()}) >= 6


def test_equal_programs_are_run_once_and_all_answered(any_level: Sandbox) -> None:
    verdicts = list(any_level.run([GOOD] * 5))
    assert sorted(index for index, _ in verdicts) == [0, 1, 2, 3, 4]
    assert len({id(verdict) for _, verdict in verdicts}) == 1


def test_nothing_to_do(any_level: Sandbox) -> None:
    assert list(any_level.run([])) == []


def test_a_run_that_is_abandoned_harms_no_later_one(any_level: Sandbox) -> None:
    slow = Program("def f(x):\n    while True: pass", "f", TEST)
    verdicts = any_level.run([GOOD, slow])
    assert next(verdicts)[0] == 0
    verdicts.close()
    assert unharmed(any_level)


def test_a_worker_that_dies_is_nobodys_failure() -> None:
    programs = [Program(f"{GOOD.source}# {n}", "f", TEST) for n in range(300)]
    with Sandbox(2) as sandbox:
        verdicts = {}
        for n, (index, verdict) in enumerate(sandbox.run(programs)):
            verdicts[index] = verdict.status
            if n in (5, 60, 150):
                os.kill(sandbox._workers[n % 2]._process.pid, signal.SIGKILL)
        assert Counter(verdicts.values()) == {"passed": 300}
        assert left(sandbox) == 0


ENDLESS = """
from codegen25.evaluate.sandbox import Program, Sandbox
box = Sandbox(2, LEVEL)
print(box._root, flush=True)
loop = [Program(f"def f(x):\\n    while True: pass # {n}", "f", TEST) for n in range(99)]
list(box.run(loop))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_workers_end_when_their_coordinator_is_killed(level: str) -> None:
    with box(level):  # skips where there is no such level
        pass
    code = f"LEVEL, TEST = {level!r}, {TEST!r}\n{ENDLESS}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    root = process.stdout.readline().strip()
    assert running(root) >= 4
    time.sleep(0.5)
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while running(root) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(root) == 0
    with box(level):  # the next one cleans up
        assert not Path(root).exists()


def test_a_test_without_end_on_what_a_candidate_answers(hasty: Sandbox) -> None:
    long = "def check(candidate):\n    for _ in range(candidate(1)): pass\n"
    assert decide(hasty, "def f(x): return 10 ** 12", long).status == "timeout"
    hold = (
        "def check(candidate):\n    while True:\n        try: candidate(1)\n        except: pass\n"
    )
    assert decide(hasty, "import os\ndef f(x): os._exit(0)", hold).status == "timeout"
    memory = "def check(candidate):\n    assert list(range(candidate(1)))\n"
    assert decide(hasty, "def f(x): return 10 ** 9", memory, stages=STRICT).status == "oom"
    assert unharmed(hasty)


def test_a_test_that_catches_all_credits_nobody(any_level: Sandbox) -> None:
    test = "def check(candidate):\n    try: candidate(1)\n    except: pass\n"
    assert decide(any_level, "import os\ndef f(x): os._exit(0)", test).status == "exited"
    assert decide(any_level, "def f(x): raise SystemExit", test).status == "exited"
    assert decide(any_level, "def f(x): raise ValueError", test).passed


EXPECTS = """
def check(candidate):
    try:
        candidate(-1)
    except ValueError as error:
        assert str(error) == "no: -1" and not isinstance(error, KeyError)
    else:
        assert False, "no error"
    try:
        candidate(0)
    except LookupError as error:
        assert type(error).__name__ == "Own"
    else:
        assert False, "no error"
    assert candidate(2) == 3
"""


def test_a_test_can_expect_exceptions(any_level: Sandbox) -> None:
    source = """
class Own(KeyError): pass
def f(x):
    if x < 0: raise ValueError(f"no: {x}")
    if x == 0: raise Own
    return x + 1
"""
    assert decide(any_level, source, EXPECTS).passed
    assert decide(any_level, source.replace("KeyError", "OSError"), EXPECTS).status == "failed"


@pytest.mark.parametrize("stages", [FIRST, STRICT])
def test_a_test_sees_what_becomes_of_its_arguments(any_level: Sandbox, stages: str) -> None:
    test = """
def check(candidate):
    a, b, c = [3, 1, 2], {"a": 1}, {1}
    assert candidate(a, b, c) is None
    assert a == [1, 2, 3] and b == {"b": (2,)} and c == {1, "x"}
"""
    source = "def f(a, b, c):\n    a.sort(); b.clear(); b['b'] = (2,); c.add('x')"
    assert decide(any_level, source, test, stages).passed
    assert decide(any_level, source.replace("sort", "clear"), test, stages).status == "failed"


@pytest.mark.parametrize("stages", [FIRST, STRICT])
def test_helpers_are_the_tests_and_never_the_candidate(any_level: Sandbox, stages: str) -> None:
    helpers = "def double(x): return 2 * x\ndef f(x): return 3\n"
    test = "def check(candidate):\n    assert candidate(4) == double(4) and f(4) == double(4)\n"
    right, wrong = "def f(x): return x + x", "def double(x): return 3\ndef f(x): return 3"
    assert decide(any_level, right, test, stages, helpers=helpers).passed
    assert decide(any_level, wrong, test, stages, helpers=helpers).status == "failed"


def test_a_broken_test_is_no_samples_failure(any_level: Sandbox) -> None:
    assert decide(any_level, GOOD.source, "def check(candidate:").status == "infra-error"
    passes = "def check(candidate):\n    assert candidate(lambda: 1) == 2\n"
    assert decide(any_level, GOOD.source, passes, stages=STRICT).status == "infra-error"


def test_the_failing_assertion_is_told(any_level: Sandbox) -> None:
    for stages in (FIRST, STRICT):
        verdict = decide(any_level, "def f(x): return 3", stages=stages)
        assert (verdict.status, verdict.detail) == ("failed", "assert candidate(4) == 5")


def test_installed_packages_can_be_imported(any_level: Sandbox) -> None:
    source = "import numpy, sqlite3\ndef f(x): return numpy.int64(x) + 1"
    assert decide(any_level, source).passed


def test_a_slow_but_right_sample_passes() -> None:
    source = """
import time
def f(x):
    while time.process_time() < 0.7: pass
    return x + 1
"""
    with Sandbox(1) as sandbox:
        verdict = decide(sandbox, source)
    assert verdict.passed and verdict.cpu_ms > 600, verdict


def test_a_machine_without_namespaces_has_the_next_level() -> None:
    """As in a container that forbids them: a parent with a seccomp filter of its own."""
    code = """
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.sandbox.inside import libc, seccomp
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
seccomp.Filter(processes=True).entering()()
from codegen25.errors import UserError
with Sandbox(1) as box:
    print(box.level)
try:
    Sandbox(1, "strict")
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == "limits" or first == "filters", done
    assert "namespaces: [Errno 1] unshare: Operation not permitted" in second


def test_bad_options() -> None:
    with pytest.raises(UserError, match="isolation 'none'"):
        Sandbox(1, "none")
    with pytest.raises(UserError, match="-1 workers"):
        Sandbox(-1)


def test_a_worker_knows_nothing_of_the_package_around() -> None:
    folder = Path(inside_package.__file__).parent
    for file in folder.glob("*.py"):
        assert "codegen25" not in file.read_text(), file


@pytest.mark.parametrize(("passing", "alone"), [(True, True), (False, False)])
def test_a_batch_is_left_out_where_most_pass(
    passing: bool, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts are the same; what changes is which programs are decided without a batch before."""
    asked: dict[str, set[str]] = {"batch": set(), "strict": set()}
    ask = Worker.ask

    def noting(self: Worker, job: dict[str, Any]) -> None:
        asked[job["kind"]] |= {program["source"] for program in job["programs"]}
        ask(self, job)

    monkeypatch.setattr(Worker, "ask", noting)
    body = "x + 1" if passing else "x"
    programs = [Program(f"def f(x):\n    return {body}  # {n}", "f", TEST) for n in range(160)]
    with Sandbox(1) as sandbox:
        verdicts = dict(sandbox.run(programs))
        assert all(verdict.passed == passing for verdict in verdicts.values())
        assert len(verdicts) == 160
        assert bool(asked["strict"] - asked["batch"]) == alone
        assert len(asked["batch"]) >= 32  # it has to be seen first
        asked["strict"].clear()
        list(sandbox.run([Program(f"{p.source}.", "f", TEST) for p in programs], FIRST))
        assert not asked["strict"]  # who believes the batch is never sent elsewhere


@pytest.mark.parametrize("again", [False, True])
def test_a_stall_of_the_machine_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """By a clock of our own: three seconds pass in which nothing runs and nothing waits."""
    now = [100.0]
    monkeypatch.setattr(clocks, "LINUX", True)
    monkeypatch.setattr(clocks, "cpu", lambda _: 0.0)
    monkeypatch.setattr(clocks, "waited", lambda _: 0.0)
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now[0])
    watch = clocks.Watch((1,), 3.0, 10.0)
    assert watch.over() == ""
    now[0] += 3.1
    assert watch.over() == "idle"

    round_ = _round()
    job = round_._next()
    assert job is not None and job.keys == [0]
    asleep = {"status": "timeout", "detail": "asleep", "cpu": 0.0}
    whole = Job("strict", [0], 3.0)
    assert round_._judged(0, whole, asleep) is None
    job = round_._next()
    assert job is not None and (job.keys, job.cpu) == ([0], 3.0)
    last = asleep if again else {"status": "passed", "detail": "", "cpu": 0.1}
    verdict = round_._judged(0, job, last)
    assert verdict is not None and verdict.status == ("timeout" if again else "passed")
    assert round_._next() is None


def _round() -> pool._Round:
    box: Any = SimpleNamespace(_limits=Limits(), _workers=[None])
    return pool._Round(box, {0: GOOD}, STRICT)


def test_a_level_that_is_expected_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise UserError("no such level")

    monkeypatch.setattr("sandbox_helpers.Sandbox", refused)
    monkeypatch.delenv("CODEGEN25_EXPECT_ISOLATION", raising=False)
    with pytest.raises(pytest.skip.Exception):
        box("namespaces")
    monkeypatch.setenv("CODEGEN25_EXPECT_ISOLATION", "namespaces")
    with pytest.raises(pytest.fail.Exception, match="namespaces is expected here"):
        box("namespaces")
    monkeypatch.setenv("CODEGEN25_EXPECT_ISOLATION", "filters")
    with pytest.raises(pytest.skip.Exception):
        box("namespaces")
