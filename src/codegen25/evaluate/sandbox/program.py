"""What the sandbox is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

STATUSES = (
    "passed",
    "failed",  # an assertion, or the candidate raised
    "syntax",  # the candidate does not compile
    "timeout",
    "oom",
    "crashed",  # died of a signal
    "exited",  # left by itself: sys.exit, os._exit
    "missing-module",
    "forbidden",  # a system call that the sandbox refuses ended it
    "opaque-return",  # answered with something that is no plain built-in value
    "infra-error",  # the sandbox's own trouble, after retries; never the sample's failure
)


@dataclass(frozen=True)
class Program:
    """A sample and the test that decides it.

    `source` is what a model wrote with its prompt and suffix around it: nobody trusts it. `test`
    defines `check(candidate)` and is trusted, as are `helpers`, a source whose names the test may
    use (the prompt with the canonical solution: a few tests call functions of the prompt).
    Languages other than "python" are run as one file, source before test, and the exit code is the
    verdict: such a sample can fool its test.
    """

    source: str
    entry_point: str
    test: str
    helpers: str = ""
    language: str = "python"


@dataclass(frozen=True)
class Verdict:
    """`status` is one of STATUSES; `detail` one line of at most 200 characters."""

    status: str
    detail: str = ""
    cpu_ms: float = 0.0
    memory_mb: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the test ran to its end on this candidate."""
        return self.status == "passed"


@dataclass(frozen=True)
class Limits:
    """What one sample may use: CPU seconds, wall seconds as a backstop, bytes, processes."""

    cpu_seconds: float = 3.0
    wall_factor: float = 10.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 20
    output_bytes: int = 1 << 20
