"""Time that processes used, in seconds, whatever else the machine does meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from .libc import LINUX


def cpu(process: int) -> float:
    """CPU time of all threads of a process; 0 once it is gone."""
    try:
        if LINUX:
            return time.clock_gettime((~process << 3) | 2)
        import psutil  # other systems show no clock of another process

        used = psutil.Process(process).cpu_times()
        return float(used.user + used.system)
    except Exception:
        return 0.0


def waited(process: int) -> float:
    """How long its first thread could have run but had no core."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def ended(process: int) -> bool:
    """Whether a child of ours has ended; it is not reaped."""
    if LINUX:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    import psutil

    return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)


_SOON = 0.02


class Watch:
    """What a group of processes has used since the watch began.

    Each of `cpu_seconds` bounds two times apart: CPU time, and time in which none of them ran or
    wanted to run. Neither grows when other work takes the cores. `wall_factor` is the backstop.
    """

    def __init__(self, processes: Iterable[int], cpu_seconds: float, wall_factor: float) -> None:
        self._processes = tuple(processes)
        self._limit = cpu_seconds
        self._factor = wall_factor
        self.restart()

    def restart(self) -> None:
        """From now on, as for the next program of a batch."""
        self._began = time.monotonic()
        self._cpu = sum(map(cpu, self._processes))
        self._waited: float | None = None

    def used(self) -> float:
        """CPU seconds since."""
        return sum(map(cpu, self._processes)) - self._cpu

    def over(self) -> str:
        """Which limit is passed: "cpu", "idle", "wall" or none."""
        if self._waited is None:  # the quick never ask
            self._waited = sum(map(waited, self._processes))
        used, wall = self.used(), time.monotonic() - self._began
        if used > self._limit:
            return "cpu"
        if LINUX and wall > self._limit:
            delay = sum(map(waited, self._processes)) - self._waited
            if wall - used - delay > self._limit:
                return "idle"
        return "wall" if wall > self._limit * self._factor * _load() else ""

    def pause(self) -> float:
        """How long no limit can be passed, at most."""
        if self._waited is None:
            return _SOON
        return max(0.005, min(0.25, (self._limit - self.used()) / 2))


def _load() -> float:
    try:
        return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    except OSError:
        return 1.0
