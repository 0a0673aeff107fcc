"""A worker's own user, process, network, mount, IPC and host name spaces."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from . import libc

_NEW = 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_MOUNT_SETATTR, _HERE, _READ_ONLY = 442, -100, 1
_INSIDE = 1000
"""Who we are inside; not 0, so that an executed program gains no capability."""


def enter(folder: str, disk_bytes: int) -> None:
    """Go into new namespaces and return in their first process; the old one waits and ends with it.

    There the whole file system is read-only but for `folder`, which is empty, in memory and small.
    """
    user, group = os.getuid(), os.getgid()
    libc.unshare(_NEW)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_INSIDE} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{_INSIDE} {group} 1")
    child = os.fork()
    if child:
        os.closerange(3, 256)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    libc.die_with_parent()
    libc.mount("none", "/", "none", _PRIVATE | _RECURSIVE)
    attributes = struct.pack("=QQQQ", _READ_ONLY, 0, 0, 0)
    libc.syscall(_MOUNT_SETATTR, _HERE, b"/", 0x8000, attributes, len(attributes))
    small = f"size={disk_bytes},nr_inodes=4096,mode=700"
    libc.mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, small)
    libc.mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def fewer_processes(most: int) -> None:
    """Bound the processes of the namespace, where the kernel can (Linux 6.14)."""
    try:
        Path("/proc/sys/kernel/pid_max").write_text(str(most))
    except OSError:
        return
