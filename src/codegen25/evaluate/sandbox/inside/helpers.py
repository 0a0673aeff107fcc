"""The names that a test may use of its prompt and canonical solution."""

from __future__ import annotations

import builtins
import os
import re
import signal
import time
from collections.abc import Iterator
from types import CodeType
from typing import Any

from . import libc
from .clocks import Watch, ended

_MOST, _TO_THE_END = 2000, 118


class HelpersError(Exception):
    """Why they do not come to their end; of the sandbox's data, and no sample's fault."""


class Helpers:
    """Run once for all programs that share them, first in a fork that a clock watches."""

    def __init__(self, cpu_seconds: float, wall_factor: float) -> None:
        self._cpu_seconds, self._wall_factor = cpu_seconds, wall_factor
        self._held: dict[tuple[str, str, str], dict[str, Any] | HelpersError] = {}

    def space(self, program: dict[str, Any], test: CodeType) -> dict[str, Any]:
        """A namespace for one run of a test, which holds them if the test may use any."""
        key = program["helpers"], program["test"], program["entry_point"]
        if key not in self._held:
            if len(self._held) > _MOST:
                self._held.clear()
            self._held[key] = self._made(program, test)
        found = self._held[key]
        if isinstance(found, HelpersError):
            raise found
        return dict(found)

    def _made(self, program: dict[str, Any], test: CodeType) -> dict[str, Any] | HelpersError:
        names: dict[str, Any] = {"__name__": "test"}
        if not _mentions(test, program):
            return names
        try:
            code = compile(program["helpers"], "<helpers>", "exec", dont_inherit=True)
            self._try(code)
            exec(code, names)
        except HelpersError as error:
            return error
        except BaseException as error:
            return HelpersError(f"{type(error).__name__}: {error}")
        return names

    def _try(self, code: CodeType) -> None:
        child = os.fork()
        if child == 0:
            try:
                libc.die_with_parent()
                exec(code, {"__name__": "test"})
            finally:  # an exception comes again, in the judge
                os._exit(_TO_THE_END)
        watch = Watch((child,), self._cpu_seconds, self._wall_factor)
        reason = ""
        while not reason and not ended(child):
            time.sleep(0.001)
            reason = watch.over()
        os.kill(child, signal.SIGKILL)
        left = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if reason:
            raise HelpersError(f"they do not end within {self._cpu_seconds:g} s ({reason})")
        if left != _TO_THE_END:
            raise HelpersError(f"they end the process ({left})")


def _mentions(code: CodeType, program: dict[str, Any]) -> bool:
    """Whether a test uses a name that may be one of the helpers'."""
    words = set(re.findall(r"\w+", program["helpers"]))
    known = {*vars(builtins), program["entry_point"], "candidate"}
    return any(not words.isdisjoint(set(part.co_names) - known) for part in (code, *_parts(code)))


def _parts(code: CodeType) -> Iterator[CodeType]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part
            yield from _parts(part)
