"""A worker's beginning: namespaces, warm modules, then keeper and judge."""

from __future__ import annotations

import gc
import json
import os
import signal
import site
import socket
import sys
from typing import Any

from . import candidate, judge, keeper, libc
from .confine import Confinement
from .frames import Channel
from .namespaces import enter, fewer_processes
from .settings import LIMITS, NAMESPACES, Settings

_WARM = (
    "abc", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math",
    "numbers", "operator", "random", "re", "statistics", "string", "textwrap", "time", "typing",
)  # fmt: skip


def main() -> None:
    """Read what to do from the arguments: a descriptor, and the settings as JSON."""
    jobs = socket.socket(fileno=int(sys.argv[1]))
    told: dict[str, Any] = json.loads(sys.argv[2])
    interpreters: dict[str, list[str]] = told.pop("interpreters")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    settings = Settings(**fields)
    try:
        _isolate(settings)
        confinement = Confinement(settings)
        confinement.attempt()
    except OSError as error:
        Channel(jobs).send({"refused": str(error)})
        return
    _warm(settings)
    _split(jobs, settings, confinement, interpreters)


def _isolate(settings: Settings) -> None:
    if settings.level != LIMITS and not libc.LINUX:
        raise OSError("it takes Linux")
    if settings.level == NAMESPACES:
        enter(settings.folder, settings.disk)
        fewer_processes(1000)
    libc.adopt_orphans()
    libc.shut_memory()


def _warm(settings: Settings) -> None:
    site.setquit()
    sys.path[:] = list(settings.path)
    candidate.settle(settings.folder)
    _import_warm()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGIO, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    gc.collect()
    gc.freeze()


def _import_warm() -> None:
    """Import without what would run at each fork: a new seed for `random`, though we set one."""
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    for name in _WARM:
        __import__(name)
    os.register_at_fork = register
    candidate.seed()


def _split(
    jobs: socket.socket, settings: Settings, confinement: Confinement,
    interpreters: dict[str, list[str]],
) -> None:  # fmt: skip
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        libc.die_with_parent()
        ours.close()
        Channel(jobs).send({"ready": settings.level})
        judge.main(jobs, theirs, settings, confinement)
        os._exit(0)
    jobs.close()
    theirs.close()
    keeper.main(child, ours, settings, confinement, interpreters)
