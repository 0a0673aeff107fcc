"""Forks candidates and watches over them and over the judge. It never sees a test.

It is the first process of the worker's namespace, so nothing inside can kill it, and all ends when
it does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from . import candidate, scripts
from .clocks import Watch, ended
from .confine import UNCONFINED, Confinement, empty
from .frames import Channel, ClosedError
from .libc import LINUX
from .settings import LIMITS, NAMESPACES, Settings

JUDGE_STUCK = 3
"""Exit code: the test itself, on what the candidate answered, went past the limits."""
FAILED = 4
"""Exit code: of the sandbox's own trouble."""
_GRACE = 0.5


class Keeper:
    """One candidate at a time."""

    def __init__(
        self, judge: int, channel: Channel, settings: Settings, confinement: Confinement,
        interpreters: dict[str, list[str]],
    ) -> None:  # fmt: skip
        self._judge, self._channel, self._settings = judge, channel, settings
        self._confinement, self._interpreters = confinement, interpreters

    def serve(self) -> None:
        """Until the judge hangs up."""
        while True:
            asked = self._channel.receive()
            if asked["language"] == "python":
                self._python(asked)
            else:
                self._script(asked)

    def _python(self, asked: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            code = UNCONFINED
            try:
                kept = self._confinement.enter(ours.fileno(), asked["cpu"])
                code = 0
                candidate.serve(kept, asked["source"], asked["entry_point"])
            finally:
                os._exit(code)
        ours.close()
        socket.send_fds(self._channel.stream, [b"."], [theirs.fileno()])
        theirs.close()
        watch = self._watch(child, asked)
        reason = ""
        while not reason and not self._channel.waits(watch.pause()):
            reason = watch.over()
        if reason:
            _kill(child)
            self._unstick()
        vanished = self._channel.receive()["vanished"]
        self._report(child, vanished, {"reason": reason})

    def _script(self, asked: dict[str, Any]) -> None:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                kept = self._confinement.enter(write, asked["cpu"], script=True)
                language = asked["language"]
                scripts.execute(kept, self._interpreters[language], language, asked["source"])
            finally:  # the interpreter, where it was executed, has an exit code of its own
                os._exit(UNCONFINED)
        os.close(write)
        watch = self._watch(child, asked)
        said, reason = scripts.listen(read, watch, self._settings.output)
        os.close(read)
        while not reason and not ended(child):
            time.sleep(min(watch.pause(), 0.02))
            reason = watch.over()
        self._report(child, not reason, {"reason": reason, "said": said})

    def _watch(self, child: int, asked: dict[str, Any]) -> Watch:
        both = (child, self._judge)
        return Watch(both, asked["cpu"], self._settings.wall_factor)

    def _unstick(self) -> None:
        """With its candidate dead the judge has little left to do; else all here begins anew."""
        watch = Watch((self._judge,), _GRACE, self._settings.wall_factor)
        while not self._channel.waits(watch.pause()):
            if watch.over():
                os._exit(JUDGE_STUCK)

    def _report(self, child: int, ending: bool, told: dict[str, Any]) -> None:
        """Reap the child and all it started, clean up, and tell what it used.

        `ending` says that it is about to end by itself, so its exit code is its own.
        """
        own = ending and self._ends(child)
        _kill(child)
        _, status, usage = os.wait4(child, 0)
        lonely = told.get("said") is None and self._settings.level != LIMITS
        swept = lonely or self._sweep()
        empty(self._settings.folder)
        used = usage.ru_utime + usage.ru_stime
        memory = usage.ru_maxrss / (1 << 10 if LINUX else 1 << 20)
        code = os.waitstatus_to_exitcode(status) if own else None
        if code == UNCONFINED:  # no verdict on a sample; with a new worker it is tried again
            os._exit(FAILED)
        self._channel.send({**told, "code": code, "cpu": used, "memory": memory})
        if not swept:
            time.sleep(_GRACE)  # for the judge to pass it on; then all here ends
            os._exit(0)

    def _ends(self, child: int) -> bool:
        """Whether the child is ending by itself; one that only hung up goes on, or sleeps."""
        watch = Watch((child,), _GRACE, self._settings.wall_factor)
        while not ended(child):
            if watch.over():
                return False
            time.sleep(0.001)
        return True

    def _sweep(self) -> bool:
        """End what a child has left: with the filters on only other languages can leave any."""
        until = time.monotonic() + _GRACE
        while others := self._others():
            for each in others:
                _kill(each)
            for each in others:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(each, os.WNOHANG)
            if time.monotonic() > until:
                return False
        return True

    def _others(self) -> list[int]:
        """Every process but the worker's own two: in the namespace, or adopted by this one."""
        own = os.getpid()
        if not LINUX:
            return []
        if self._settings.level == NAMESPACES:
            found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
        else:
            text = Path(f"/proc/{own}/task/{own}/children").read_text()
            found = list(map(int, text.split()))
        return [each for each in found if each not in (own, self._judge)]


def _kill(process: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)


def main(
    judge: int, stream: socket.socket, settings: Settings, confinement: Confinement,
    interpreters: dict[str, list[str]],
) -> None:  # fmt: skip
    """The keeper's process; ends when the judge has."""
    keeper = Keeper(judge, Channel(stream), settings, confinement, interpreters)
    with contextlib.suppress(ClosedError):
        keeper.serve()
    status = os.waitpid(judge, 0)[1]
    os._exit(0 if status == 0 else FAILED)
