"""One worker as the coordinator sees it: a process, a socket, a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate.sandbox.inside.frames import Channel, ClosedError, ViolationError
from codegen25.evaluate.sandbox.inside.keeper import JUDGE_STUCK
from codegen25.evaluate.sandbox.inside.settings import Settings
from codegen25.evaluate.sandbox.interpreters import available
from codegen25.evaluate.sandbox.program import Limits

_START = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from inside.start import main; main()"
_STARTS = 5


class LevelRefusedError(Exception):
    """The machine does not offer what a level needs; its text says what."""


class WorkerDiedError(Exception):
    """`stuck`: because a test went past the limits with its candidate gone."""

    def __init__(self, stuck: bool) -> None:
        super().__init__("worker died")
        self.stuck = stuck


@dataclass
class Job:
    """Programs that a worker is at; the first is the one not yet answered."""

    kind: str
    keys: list[int]
    cpu: float


class Worker:
    """A running worker; `restart` gives it a new process."""

    def __init__(self, level: str, folder: Path, limits: Limits) -> None:
        self.level, self._folder = level, folder
        settings = Settings(
            level=level,
            folder=str(folder),
            readable=_readable(),
            path=_path(),
            cpu_seconds=limits.cpu_seconds,
            wall_factor=limits.wall_factor,
            memory=limits.memory_bytes,
            file=limits.file_bytes,
            output=limits.output_bytes,
        )
        self._told = json.dumps({**dataclasses.asdict(settings), "interpreters": available()})
        self._start()

    def _start(self) -> None:
        """Begin; `wait` sees whether it works."""
        self._folder.mkdir(exist_ok=True)  # a sample at the lowest level may have removed it
        ours, theirs = socket.socketpair()
        source = Path(__file__).parent
        arguments = ["-S", "-s", "-P", "-B", "-c", _START, str(source), str(theirs.fileno())]
        self._process = subprocess.Popen(
            [sys.executable, *arguments, self._told],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=_errors(),
            pass_fds=[theirs.fileno()],
            env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        theirs.close()
        self._channel = Channel(ours)

    def wait(self) -> None:
        """Until it is ready for programs."""
        try:
            said = self._channel.receive()
        except (ClosedError, ViolationError):
            said = {"refused": f"the worker did not start (exit code {self._process.wait()})"}
        if "refused" in said:
            self.kill()
            raise LevelRefusedError(said["refused"])

    @property
    def stream(self) -> socket.socket:
        """To wait for answers on."""
        return self._channel.stream

    @property
    def has_more(self) -> bool:
        """Whether a part of an answer has been read already."""
        return self._channel.holds

    def ask(self, job: dict[str, Any]) -> None:
        """Give it programs; a dead worker is noticed when it does not answer."""
        with contextlib.suppress(ClosedError):
            self._channel.send(job)

    def answer(self) -> dict[str, Any]:
        """The next answer, each to one program."""
        try:
            said: dict[str, Any] = self._channel.receive()
        except (ClosedError, ViolationError):
            self._end()
            raise WorkerDiedError(self._process.returncode == JUDGE_STUCK) from None
        return said

    def restart(self) -> None:
        """A new process in place of this one, whatever it is at."""
        self.kill()
        for attempt in range(_STARTS):
            try:
                self._start()
                return self.wait()
            except LevelRefusedError as error:
                if attempt == _STARTS - 1:
                    raise UserError(f"the sandbox's workers start no more: {error}") from None
        return None

    def close(self) -> None:
        """Let it end by itself, as it does when nobody asks any more, else kill it."""
        with contextlib.suppress(OSError):
            self._channel.stream.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        self.kill()

    def kill(self) -> None:
        """End it and all that runs in it."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._end()
        self._channel.stream.close()

    def _end(self) -> None:
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _errors() -> int | None:
    return None if os.environ.get("CODEGEN25_SANDBOX_DEBUG") else subprocess.DEVNULL


def _readable() -> tuple[str, ...]:
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(sorted({str(Path(each).resolve()) for each in found} - {"/"}))


def _path() -> tuple[str, ...]:
    """Where a sample imports from: the standard library and what is installed."""
    allowed = _readable()
    found = [str(Path(each).resolve()) for each in sys.path if each]
    return tuple(each for each in found if any(Path(each).is_relative_to(a) for a in allowed))
