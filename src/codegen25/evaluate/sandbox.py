"""Run one program in a process of its own with limits: does it end without an error?

This keeps accidents in check (memory, CPU time, file size, a private directory, an empty
environment). It is no defence against a program written to escape.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass

CPU_SECONDS = 3
WALL_SECONDS = 30
MEMORY_BYTES = 1 << 30
FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Verdict:
    """`status` is passed, failed or timeout; `detail` the last line of what it said."""

    status: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the program ran to its end."""
        return self.status == "passed"


def run(program: str) -> Verdict:
    """Run `program` with a fresh interpreter.

    Only reaching its end gives the exit code that passes; `sys.exit(0)` halfway does not.
    """
    with tempfile.TemporaryDirectory(prefix="codegen25-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _RUNNER],
                input=program.encode("utf-8", "surrogatepass"),
                capture_output=True,
                cwd=folder,
                env={"OMP_NUM_THREADS": "1"},
                timeout=WALL_SECONDS,
                preexec_fn=_limit,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return Verdict("timeout", f"{WALL_SECONDS} s of wall time")
    if done.returncode == _PASSED:
        return Verdict("passed")
    if done.returncode in (-24, -9):
        return Verdict("timeout", f"{CPU_SECONDS} s of CPU time")
    lines = done.stderr[-2000:].decode("utf-8", "replace").strip().splitlines()
    return Verdict("failed", lines[-1][:200] if lines else f"exit code {done.returncode}")


_PASSED = 97
_RUNNER = f"""
import os, sys
program = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
sys.stdin = open(os.devnull)
sys.stdout = open(os.devnull, "w")
exec(compile(program, "program", "exec"), {{"__name__": "__program__"}})
os._exit({_PASSED})
"""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
