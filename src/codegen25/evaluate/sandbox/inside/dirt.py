"""Whether a program of a batch left its process as it found it."""

from __future__ import annotations

import _thread
import builtins
import sys
from collections import deque
from functools import cache
from typing import Any

from .gate import MODULES, NAMES

_SPACES = (*sorted(MODULES), "builtins", "operator")
_MUTABLE = (dict, list, set, bytearray, deque)


@cache
def containers() -> tuple[Any, ...]:
    """Mutable containers that a program which `gate.harmless` lets in could reach by names.

    From the modules that it may import over all that has a namespace: submodules, classes and
    their bases, functions; `json.encoder.ESCAPE_DCT` is one. Those of modules imported later are
    missing, but to import a submodule changes its package's namespace.
    """
    waiting: list[Any] = [sys.modules[name] for name in _SPACES if name in sys.modules]
    seen: dict[int, Any] = {}
    while waiting:
        here = waiting.pop()
        if id(here) not in seen:
            seen[id(here)] = here
            waiting += _within(here)
    return tuple(each for each in seen.values() if isinstance(each, _MUTABLE))


def _within(value: Any) -> list[Any]:
    """What can be had from a value by one name that the gate lets through, or as an item."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    spaces = value.__mro__ if isinstance(value, type) else (value,)
    names: dict[str, Any] = {}
    for each in spaces:
        space = getattr(each, "__dict__", None) or {}
        names |= {name: space[name] for name in space if isinstance(name, str)}
    return [each for name, each in names.items() if name[:1] != "_" and name not in NAMES]


class Dirt:
    """What a program could have left behind, compared with the beginning."""

    def __init__(self) -> None:
        modules = [sys.modules[name] for name in _SPACES if name in sys.modules]
        self._spaces = [(vars(each), dict(vars(each))) for each in modules]
        self._held = [(each, each.copy()) for each in containers()]
        self._state = self._now()

    @staticmethod
    def _now() -> tuple[Any, ...]:
        return (
            _thread._count(), sys.getrecursionlimit(), sys.gettrace(), sys.getprofile(),
            id(sys.stdout), id(sys.stderr), id(sys.stdin), builtins.__import__, len(sys.path),
        )  # fmt: skip

    def __call__(self) -> bool:
        return (
            self._now() != self._state
            or any(now != then for now, then in self._spaces)
            or any(now != then for now, then in self._held)
        )
