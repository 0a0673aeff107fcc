"""System calls that Python does not offer, by ctypes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

LINUX = sys.platform == "linux"
MACHINE = os.uname().machine

_libc: Any = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38


def checked(result: int, what: str) -> int:
    """`result`, or the error that a negative one stands for."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """A system call by its number; bytes are passed by address."""
    passed = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return checked(_libc.syscall(ctypes.c_long(number), *passed), f"system call {number}")


def prctl(option: int, value: int, pointer: Any = 0) -> None:
    """prctl(2)."""
    third = ctypes.c_ulong(pointer) if isinstance(pointer, int) else ctypes.byref(pointer)
    number, zero = ctypes.c_ulong(value), ctypes.c_ulong(0)
    checked(_libc.prctl(ctypes.c_int(option), number, third, zero, zero), f"prctl {option}")


def ready(function: str, *arguments: Any) -> Callable[[], None]:
    """A call with its arguments made, for a fork to do no more than call."""
    call, what = getattr(_libc, function), f"{function} {arguments}"

    def run() -> None:
        if call(*arguments) < 0:
            checked(-1, what)

    return run


def dying_with_parent() -> Callable[[], None]:
    """A call that has the kernel kill this process when its parent ends."""
    numbers = (ctypes.c_ulong(n) for n in (9, 0, 0, 0))
    return ready("prctl", ctypes.c_int(PR_SET_PDEATHSIG), *numbers)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    if LINUX:
        dying_with_parent()()


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs."""
    if LINUX:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def shut_memory() -> None:
    """Keep others of the same user, root aside, from our memory and descriptors; forks inherit it.

    What takes PTRACE_MODE_ATTACH is refused then: ptrace, /proc/PID/mem, pidfd_getfd.
    """
    if LINUX:
        prctl(PR_SET_DUMPABLE, 0)


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    texts = [text.encode() for text in (source, target, kind, options)]
    result = _libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
    checked(result, f"mount {target}")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


def drop_capabilities() -> None:
    """Keep no capability, whoever we are."""
    header, none = _CapabilityHeader(0x20080522, 0), (ctypes.c_uint32 * 6)()
    checked(_libc.capset(ctypes.byref(header), none), "capset")
