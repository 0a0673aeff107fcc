"""A seccomp filter for a sample: what it can use on itself is allowed, what reaches others is not.

Refused calls answer "operation not permitted", unknown and newer ones "not implemented". Threads
are allowed, processes are not, except for languages whose interpreter has to be executed.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

from .libc import MACHINE, PR_SET_SECCOMP, ready

# Names with their numbers on x86-64 and on aarch64 (- where there is no such call).
_REFUSED = """
ptrace 101 117  process_vm_readv 310 270  process_vm_writev 311 271  process_madvise 440 440
process_mrelease 448 448  pidfd_open 434 434  pidfd_getfd 438 438  pidfd_send_signal 424 424
kcmp 312 272  tkill 200 130  rt_sigqueueinfo 129 138  rt_tgsigqueueinfo 297 240
socket 41 198  connect 42 203  bind 49 200  listen 50 201  accept 43 202  accept4 288 242
chmod 90 -  fchmod 91 52  fchmodat 268 53  chown 92 -  fchown 93 55  lchown 94 -  fchownat 260 54
utime 132 -  utimes 235 -  futimesat 261 -  utimensat 280 88
setxattr 188 5  lsetxattr 189 6  fsetxattr 190 7
removexattr 197 14  lremovexattr 198 15  fremovexattr 199 16  mknod 133 -  mknodat 259 33
shmget 29 194  shmat 30 196  shmctl 31 195  semget 64 190  semop 65 193  semctl 66 191
semtimedop 220 192  msgget 68 186  msgsnd 69 189  msgrcv 70 188  msgctl 71 187
mq_open 240 180  mq_unlink 241 181  mq_timedsend 242 182  mq_timedreceive 243 183
mq_notify 244 184  memfd_create 319 279  memfd_secret 447 447  userfaultfd 323 282
io_uring_setup 425 425  io_uring_enter 426 426  io_uring_register 427 427
perf_event_open 298 241  bpf 321 280  fanotify_init 300 262  lookup_dcookie 212 18
add_key 248 217  request_key 249 218  keyctl 250 219
mount 165 40  umount2 166 39  mount_setattr 442 442  move_mount 429 429  open_tree 428 428
fsopen 430 430  fsconfig 431 431  fsmount 432 432  fspick 433 433  pivot_root 155 41
chroot 161 51  unshare 272 97  setns 308 268  name_to_handle_at 303 264
open_by_handle_at 304 265  quotactl 179 60  quotactl_fd 443 443  acct 163 89
init_module 175 105  finit_module 313 273  delete_module 176 106  kexec_load 246 104
kexec_file_load 320 294  reboot 169 142  swapon 167 224  swapoff 168 225
sethostname 170 161  setdomainname 171 162  settimeofday 164 170  clock_settime 227 112
clock_adjtime 305 266  adjtimex 159 171  syslog 103 116  vhangup 153 58  personality 135 92
iopl 172 -  ioperm 173 -  modify_ldt 154 -  uselib 134 -  _sysctl 156 -  sysfs 139 -
setpriority 141 140  ioprio_set 251 30  migrate_pages 256 238  move_pages 279 239
sched_setscheduler 144 119  sched_setparam 142 118  sched_setattr 314 274
"""
_PROCESSES = """
fork 57 -  vfork 58 -  execve 59 221  execveat 322 281  setsid 112 157  setpgid 109 154
sched_setaffinity 203 122
"""
_CLONE, _CLONE3, _KILL, _TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
_PRLIMIT, _FCNTL, _IOCTL = (302, 261), (72, 25), (16, 29)
_NEWEST = 451
_COLUMN = {"x86_64": 0, "aarch64": 1}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _NOT_LESS, _HAS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24
"""Offsets in `struct seccomp_data`; arguments by their lower half, both machines little-endian."""
_ALLOW, _KILL_PROCESS, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026

_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY = 8, 10, 15, 1024, 1026
_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX = 0x8901, 0x8902, 0x5412, 0x541C
_CLONE_THREAD = 0x10000


class _Program(ctypes.Structure):
    buffer: Any
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _numbers(table: str, column: int) -> list[int]:
    words = table.split()
    return [
        int(words[i + 1 + column]) for i in range(0, len(words), 3) if words[i + 1 + column] != "-"
    ]


Instruction = tuple[int, int, int, int]
Span = tuple[int, int]
"""Numbers from the first on are answered by the second, up to the next span."""


def _spans(processes: bool, column: int) -> list[Span]:
    """The answers to the calls whose number decides alone."""
    answers = dict.fromkeys(_numbers(_REFUSED, column), _REFUSE)
    answers[_CLONE3[column]] = _UNKNOWN  # its flags cannot be read here; libc takes clone then
    if not processes:  # abort() then ends by SIGSEGV
        answers |= dict.fromkeys(_numbers(_PROCESSES, column), _REFUSE)
        answers |= {_KILL[column]: _REFUSE, _TGKILL[column]: _REFUSE}
    spans: list[Span] = []
    for number in range(_NEWEST + 1):
        answer = answers.get(number, _ALLOW)
        if not spans or spans[-1][1] != answer:
            spans.append((number, answer))
    return [*spans, (_NEWEST + 1, _UNKNOWN)]  # the x32 calls too


def _tree(spans: list[Span]) -> list[Instruction]:
    """A search by halves: the kernel tries every number when a filter is entered, once a fork."""
    if len(spans) == 1:
        return [(_RETURN, 0, 0, spans[0][1])]
    half = len(spans) // 2
    lower, upper = _tree(spans[:half]), _tree(spans[half:])
    assert len(lower) < 256  # the furthest jump
    return [(_NOT_LESS, len(lower), 0, spans[half][0]), *lower, *upper]


def _build(processes: bool) -> bytes:
    column = _COLUMN[MACHINE]
    code: list[Instruction] = []

    def add(operation: int, value: int, yes: int = 0, no: int = 0) -> None:
        code.append((operation, yes, no, value))

    def when(operation: int, value: int, answer: int) -> None:
        add(operation, value, 0, 1)
        add(_RETURN, answer)

    def by_argument(
        call: tuple[int, int], offset: int, tests: list[tuple[int, int, int]], otherwise: int
    ) -> None:
        add(_EQUAL, call[column], 0, 2 + 2 * len(tests))
        add(_LOAD, offset)
        for test in tests:
            when(*test)
        add(_RETURN, otherwise)

    add(_LOAD, _ARCH)
    add(_EQUAL, _ARCHITECTURE[MACHINE], 1, 0)
    add(_RETURN, _KILL_PROCESS)
    add(_LOAD, _NUMBER)
    if not processes:
        by_argument(_CLONE, _FIRST, [(_HAS, _CLONE_THREAD, _ALLOW)], _REFUSE)
    by_argument(_PRLIMIT, _FIRST, [(_EQUAL, 0, _ALLOW)], _REFUSE)
    owners = (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY)
    by_argument(_FCNTL, _SECOND, [(_EQUAL, value, _REFUSE) for value in owners], _ALLOW)
    terminals = (_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX)
    by_argument(_IOCTL, _SECOND, [(_EQUAL, value, _REFUSE) for value in terminals], _ALLOW)
    code += _tree(_spans(processes, column))
    return b"".join(struct.pack("=HBBI", *each) for each in code)


class Filter:
    """A filter ready to be entered; built once a worker, as forks are many."""

    def __init__(self, processes: bool = False) -> None:
        if MACHINE not in _COLUMN:
            raise OSError(f"no seccomp table for {MACHINE}")
        raw = _build(processes)
        buffer = ctypes.create_string_buffer(raw, len(raw))
        self._program = _Program(len(raw) // 8, ctypes.addressof(buffer))
        self._program.buffer = buffer  # lives as long as what points to it

    def entering(self) -> Callable[[], None]:
        """A call that binds a process to the filter, for good; needs no_new_privs."""
        option, mode, zero = ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(2), ctypes.c_ulong(0)
        return ready("prctl", option, mode, ctypes.byref(self._program), zero, zero)
