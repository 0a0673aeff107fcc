"""Everything a process gives up before it runs what nobody trusts."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from . import libc
from .landlock import Rules
from .libc import LINUX, PR_SET_NO_NEW_PRIVS
from .seccomp import Filter
from .settings import LIMITS, Settings

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_RANDOM = ("/dev/random", "/dev/urandom")
_PROGRAMS = ("/usr", "/bin", "/sbin", "/etc/alternatives", "/etc/ssl", "/opt")
UNCONFINED = 119
"""Exit code of a fork that could not be confined, so nothing that nobody trusts ran in it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Confinement:
    """Made once a worker, entered once a fork.

    Whatever the worker itself can do without is given up when this is made, and what a fork calls
    is made ready: a page that a fork need not touch is a page that need not be copied.
    """

    def __init__(self, settings: Settings) -> None:
        self._memory = settings.memory
        self._steps: dict[bool, list[Callable[[], object]]] = {False: [], True: []}
        self._folder = settings.folder
        os.umask(0o077)
        for what, value in (
            (resource.RLIMIT_FSIZE, settings.file),
            (resource.RLIMIT_NOFILE, settings.open_files),
            (resource.RLIMIT_CORE, 0),
        ):
            _limit(what, value)
        if LINUX:
            self._steps = {script: [libc.dying_with_parent()] for script in (False, True)}
        if settings.level != LIMITS:
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
            libc.drop_capabilities()
            read, write = (*settings.readable, *_SYSTEM, *_RANDOM), (settings.folder, *_DEVICES)
            for script, programs in ((False, ()), (True, _PROGRAMS)):
                rules, calls = Rules((*read, *programs), write), Filter(processes=script)
                self._steps[script] += [rules.entering(), calls.entering()]

    def attempt(self) -> None:
        """Enter once in a fork that ends, for either kind; an OSError says what did not work."""
        for script in (False, True):
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                self._attempted(write, script)
            os.close(write)
            with os.fdopen(read, "rb") as pipe:
                said = pipe.read().decode("utf-8", "replace")
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code:
                raise OSError(f"a fork cannot be confined: {said or f'exit code {code}'}")

    def _attempted(self, write: int, script: bool) -> NoReturn:
        code = UNCONFINED
        try:
            self.enter(write, 1.0, script)
            code = 0
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(code)

    def enter(self, keep: int, cpu_seconds: float, script: bool = False) -> int:
        """Bind this process, keeping only descriptor `keep`; returns its new number."""
        os.setpgid(0, 0)  # a new session would cost the kernel a scheduling group, too
        os.chdir(self._folder)
        os.dup2(keep, 3)
        # The watch outside is exact; this one holds without it.
        _limit(resource.RLIMIT_CPU, int(cpu_seconds) + 2)
        # Interpreters of other languages reserve far more addresses than they use.
        _limit(resource.RLIMIT_DATA if script else resource.RLIMIT_AS, self._memory)
        if not LINUX and not script:
            _limit(resource.RLIMIT_NPROC, 0)
        for step in self._steps[script]:
            step()
        os.closerange(4, 256)
        return 3


def _limit(what: int, value: int) -> None:
    try:
        resource.setrlimit(what, (value, value))
    except (ValueError, OSError):
        if LINUX:  # macOS has limits that it does not let be set
            raise


def empty(folder: str) -> None:
    """Remove what a sample left, however deep, linked or locked it is."""
    top = Path(folder)
    if top.is_symlink() or not top.is_dir():  # the lowest level does not keep a sample from this
        top.unlink(missing_ok=True)
        top.mkdir()
    top.chmod(stat.S_IRWXU)
    if not os.listdir(top):  # noqa: PTH208
        return
    here = os.open(top, _FOLDER)
    names: list[str] = []
    while (inner := _remove_files(here)) or names:
        if inner:  # go down
            os.chmod(inner, stat.S_IRWXU, dir_fd=here)
            names.append(inner)
            there = os.open(inner, _FOLDER, dir_fd=here)
        else:  # nothing is left here: go up
            there = os.open("..", _FOLDER, dir_fd=here)
            os.rmdir(names.pop(), dir_fd=there)
        os.close(here)
        here = there
    os.close(here)


def _remove_files(folder: int) -> str:
    """Remove everything but folders, and return the name of one of these, if any."""
    with os.scandir(folder) as entries:
        found = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return next((name for name, is_folder in found if is_folder), "")
