"""What the tests of the sandbox share: boxes of every level that works here, and what is left."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from codegen25.errors import UserError
from codegen25.evaluate.sandbox import Limits, Program, Sandbox, Verdict
from codegen25.evaluate.sandbox.inside.settings import LEVELS, NAMESPACES
from codegen25.evaluate.sandbox.pool import BOTH

TEST = "def check(candidate):\n    assert candidate(2) == 3\n    assert candidate(4) == 5\n"
GOOD = Program("def f(x):\n    return x + 1\n", "f", TEST)
LIMITS = Limits(cpu_seconds=1.5, memory_bytes=1 << 29)
HASTY = Limits(cpu_seconds=0.3, memory_bytes=1 << 29)
"""For what never ends by itself."""


def box(level: str, workers: int = 1, limits: Limits = LIMITS) -> Sandbox:
    """A sandbox of just this level; skips where the machine has none.

    With CODEGEN25_EXPECT_ISOLATION=LEVEL it fails instead, for that level and those below it.
    """
    try:
        return Sandbox(workers, level, limits)
    except UserError as error:
        expected = os.environ.get("CODEGEN25_EXPECT_ISOLATION")
        if expected and LEVELS.index(level) >= LEVELS.index(expected):
            pytest.fail(f"{expected} is expected here: {error}")
        pytest.skip(str(error))


def decide(
    sandbox: Sandbox, source: str, test: str = TEST, stages: str = BOTH, **fields: str
) -> Verdict:
    """The verdict on one program."""
    ((_, verdict),) = sandbox.run([Program(source, "f", test, **fields)], stages)
    return verdict


def left(sandbox: Sandbox) -> int:
    """Processes of a sandbox beyond the workers' own: whatever a fork does, its arguments stay."""
    mark = str(sandbox._root)
    own = (3 if sandbox.level == NAMESPACES else 2) * len(sandbox._workers)
    for _ in range(50):
        found = running(mark)
        if found == own:
            return 0
        time.sleep(0.05)
    return found - own


def running(mark: str) -> int:
    """Processes with this in their arguments."""
    return sum(_marked(process, mark) for process in psutil.process_iter())


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return any(mark in argument for argument in process.cmdline())
    except psutil.Error:  # ended since, or a zombie
        return False


def unharmed(sandbox: Sandbox) -> bool:
    """Whether the next samples are decided as if nothing had been, and no process is left."""
    bad = Program("def f(x):\n    return x\n", "f", TEST)
    statuses = {i: verdict.status for i, verdict in sandbox.run([GOOD, bad])}
    return statuses == {0: "passed", 1: "failed"} and left(sandbox) == 0


def canonical(file: Path) -> list[Program]:
    """The programs of a benchmark's own solutions."""
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    programs = []
    for row in rows:
        source = row["prompt"] + row["canonical_solution"] + row.get("suffix", "")
        programs.append(Program(source, row["entry_point"], row["test"], source))
    return programs
