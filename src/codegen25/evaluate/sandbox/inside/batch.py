"""First verdicts: many programs one after the other in one confined fork, tests beside them.

Nothing of it is a pass. A failure stands if the process was as new when the program began and when
it ended; otherwise the program is decided alone, and the rest of the batch begins anew.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from .candidate import FILE, module, raised, seed
from .clocks import Watch
from .confine import Confinement
from .dirt import Dirt, containers
from .gate import harmless
from .outcome import of_exception, of_test
from .settings import Settings

ALONE, SLOW, AGAIN, _DIRTY = "alone", "slow", "again", "dirty"
"""No verdicts: decide it strictly; it was over the first limit; it has not been run."""
_STAND = {"failed", "syntax", "missing-module"}
_RESOURCES = (OSError, MemoryError, RecursionError, SystemError, BufferError)

_TOGETHER = 0.003
"""Seconds in which answers gather before they are read: waking for each costs more than most."""

Tester = Callable[[dict[str, Any], dict[str, Any]], Any]
"""Takes a program and the candidate's namespace, runs the test on it."""


def run(
    programs: list[dict[str, Any]],
    test: Tester,
    settings: Settings,
    confinement: Confinement,
    cpu_seconds: float,
) -> Iterator[list[dict[str, Any]]]:
    """Fork, and yield {"status", "detail", "cpu"} for each program, in order, some at a time."""
    containers()  # looked for once, not in each fork
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            out = confinement.enter(write, cpu_seconds * len(programs))
            _inside(out, programs, test)
        finally:
            os._exit(0)
    os.close(write)
    watch = Watch((child,), cpu_seconds, settings.wall_factor)
    answered, last = 0, ALONE
    try:
        for lines in _lines(read, watch):
            answers = _all_believed(lines, len(programs) - answered)
            answered += len(answers)
            if answers and answers[-1]["status"] == _DIRTY:
                answers[-1]["status"], last = ALONE, AGAIN
            yield answers
            watch.restart()
            if last == AGAIN or len(answers) < len(lines):
                break
        if watch.over():
            last = SLOW
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    rest = [last, *[AGAIN] * len(programs)][: len(programs) - answered]
    yield [{"status": status, "detail": "", "cpu": 0.0} for status in rest]


def _lines(read: int, watch: Watch) -> Iterator[list[bytes]]:
    """Lines of the child, as many as there are, until it ends, lies at length, passes a limit."""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    held = b""
    while True:
        while not poll.poll(watch.pause() * 1000):
            if watch.over():
                return
        time.sleep(_TOGETHER)
        part = os.read(read, 1 << 16)
        held += part
        if not part or len(held) > 1 << 20:
            return
        *lines, held = held.split(b"\n")
        if lines:
            yield lines


def _all_believed(lines: list[bytes], most: int) -> list[dict[str, Any]]:
    """The answers up to the first that is none, or that says the process is no longer as new."""
    found: list[dict[str, Any]] = []
    for line in lines[:most]:
        answer = _believed(line)
        if answer is None:
            break
        found.append(answer)
        if answer["status"] == _DIRTY:
            break
    return found


def _believed(line: bytes) -> dict[str, Any] | None:
    try:
        status, detail, cpu = json.loads(line)
        if status in _STAND | {ALONE, _DIRTY, "passed"}:
            return {"status": status, "detail": str(detail)[:200], "cpu": float(cpu)}
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _inside(out: int, programs: list[dict[str, Any]], test: Tester) -> None:
    gc.freeze()  # what is here already is not to be looked through, and so copied
    dirty = Dirt()
    for program in programs:
        began = time.process_time()
        status, detail = _judge(program, test)
        if dirty():
            status = _DIRTY
        answer = json.dumps([status, detail, time.process_time() - began])
        os.write(out, answer.encode() + b"\n")
        if status == _DIRTY:
            return


def _judge(program: dict[str, Any], test: Tester) -> tuple[str, str]:
    if program["source"] is None:  # its test does not compile
        return ALONE, ""
    try:
        code = compile(program["source"], FILE, "exec", dont_inherit=True)
    except Exception as error:
        return of_exception({**raised(error), "syntax": True})
    if not harmless(code):
        return ALONE, ""
    try:
        names = module()
        seed(program["source"], program["test"])
        exec(code, names)
        if program["entry_point"] not in names:
            missing = NameError(f"name {program['entry_point']!r} is not defined")
            return of_exception(raised(missing))
        test(program, names)
    except _RESOURCES:
        return ALONE, ""
    except Exception as error:
        status, detail = _where(error, program)
        return (status if status in _STAND else ALONE), detail
    except BaseException:
        return ALONE, ""
    return "passed", ""


def _where(error: Exception, program: dict[str, Any]) -> tuple[str, str]:
    """As if the candidate had been elsewhere: its exceptions are told from the test's."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            return of_exception(raised(error))
        trace = trace.tb_next
    return of_test(error, program["test"])
