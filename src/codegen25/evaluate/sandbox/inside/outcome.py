"""How a test's end becomes a status and one line of detail; the same alone and in a batch."""

from __future__ import annotations

import errno
from traceback import walk_tb
from typing import Any

TEST_FILE = "<test>"
DETAIL = 200
ASLEEP = "asleep"
"""Detail of a timeout in which nothing ran: the sample sleeps, or the machine stalled."""

KILLED = "SIGKILL"
"""Detail of a crash by a signal that mostly others send: the kernel, where memory runs out."""

Outcome = tuple[str, str]

_BY_KIND = {
    "SystemExit": "exited",
    "MemoryError": "oom",
    "ModuleNotFoundError": "missing-module",
}
_FORBIDDEN = (errno.EPERM, errno.EACCES, errno.EROFS)


def line(text: str) -> str:
    """At most DETAIL characters on one line."""
    return " ".join(text[: 2 * DETAIL].split())[:DETAIL]


def of_exception(told: dict[str, Any]) -> Outcome:
    """What an uncaught exception of the candidate means; `told` as `candidate.raised` has it."""
    kinds = told.get("kinds")
    kinds = [str(kind) for kind in kinds] if isinstance(kinds, list) and kinds else ["Exception"]
    text = str(told.get("text", ""))
    if told.get("syntax"):
        return "syntax", line(f"{kinds[0]}: {text}")
    status = next((_BY_KIND[kind] for kind in kinds if kind in _BY_KIND), "failed")
    if told.get("errno") in _FORBIDDEN:
        status = "forbidden"
    if status == "missing-module":
        return status, line(str(told.get("module", text)))
    if status == "exited":
        return status, line(f"SystemExit({told.get('code', '')})")
    return status, line(f"{kinds[0]}: {text}" if text else kinds[0])


def of_test(error: BaseException, test: str) -> Outcome:
    """What an exception of the test itself means: the assertion that failed."""
    if isinstance(error, MemoryError):
        return "oom", "the test, on what the candidate returned"
    numbers = [
        n for frame, n in walk_tb(error.__traceback__) if frame.f_code.co_filename == TEST_FILE
    ]
    lines = test.splitlines()
    where = lines[numbers[-1] - 1].strip() if numbers and numbers[-1] <= len(lines) else ""
    if isinstance(error, AssertionError):
        return "failed", line(where or "AssertionError")
    return "failed", line(f"{type(error).__name__}: {error} in {where}")
