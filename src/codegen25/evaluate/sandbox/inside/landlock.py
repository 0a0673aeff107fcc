"""Landlock: which files a sample can read and write, which signals and ports it can reach."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from .libc import ready, syscall

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_MAKE_DEVICES = 1 << 6 | 1 << 11
_OF_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15
_HIGH = 64
"""Descriptors from here on are out of the way of those that a child is given."""


SIGNALS = 6
"""The version from which on it confines signals (Linux 6.12)."""


def version() -> int:
    """Of the kernel's landlock; 0 where there is none."""
    try:
        return syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def _known(version: int) -> int:
    """Every kind of access that the kernel's version can handle."""
    bits = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    return (1 << bits) - 1


class Rules:
    """A ruleset ready to be entered; made once a worker."""

    def __init__(self, readable: Iterable[str], writable: Iterable[str]) -> None:
        version = syscall(_CREATE, None, 0, 1)
        self._handled = _known(version)
        attribute = struct.pack("=Q", self._handled)
        if version >= 4:
            attribute += struct.pack("=Q", 3)  # TCP bind and connect
        if version >= SIGNALS:
            attribute += struct.pack("=Q", 3)  # abstract sockets, signals
        made = syscall(_CREATE, attribute, len(attribute), 0)
        self._descriptor = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        os.close(made)
        for path in readable:
            self._allow(path, _READ | _LIST | _EXECUTE)
        for path in writable:
            self._allow(path, self._handled & ~_MAKE_DEVICES & ~_EXECUTE)

    def _allow(self, path: str, access: int) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this machine
            return
        if not Path(path).is_dir():
            access &= _OF_FILES
        rule = struct.pack("=Qi", access & self._handled, descriptor)
        syscall(_ADD, self._descriptor, 1, rule, 0)
        os.close(descriptor)

    def entering(self) -> Callable[[], None]:
        """A call that binds a process to the rules, for good; needs no_new_privs."""
        numbers = (ctypes.c_long(n) for n in (_RESTRICT, self._descriptor, 0))
        return ready("syscall", *numbers)
