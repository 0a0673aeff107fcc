"""The trusted side: tests run here, candidates elsewhere."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from types import CodeType
from typing import Any

from . import batch
from .candidate import seed
from .confine import Confinement
from .frames import Channel, ClosedError
from .helpers import Helpers, HelpersError
from .outcome import ASLEEP, KILLED, TEST_FILE, Outcome, line, of_exception, of_test
from .remote import Gone, Remote, ToldError
from .settings import Settings


class Judge:
    """Takes jobs of the coordinator, asks the keeper for candidates, answers verdicts."""

    def __init__(
        self, jobs: Channel, keeper: Channel, settings: Settings, confinement: Confinement
    ) -> None:
        self._jobs, self._keeper = jobs, keeper
        self._settings, self._confinement = settings, confinement
        self._codes: dict[str, CodeType] = {}
        self._helpers = Helpers(settings.cpu_seconds, settings.wall_factor)

    def serve(self) -> None:
        """Until the coordinator hangs up."""
        while True:
            job = self._jobs.receive()
            if job["kind"] == "batch":
                self._prepare(job["programs"])
                for answers in batch.run(job["programs"], self._test_beside, self._settings,
                                        self._confinement, job["cpu"]):  # fmt: skip
                    self._jobs.send_all(answers)
            else:
                for program in job["programs"]:
                    self._jobs.send(self.strict(program, job["cpu"]))

    def _prepare(self, programs: list[dict[str, Any]]) -> None:
        """Compile tests and run helpers before the fork, once for all that share them."""
        for program in programs:
            try:
                self._helpers.space(program, self._code(program["test"]))
            except Exception:  # told when it is decided alone
                program["source"] = None

    def _code(self, test: str) -> CodeType:
        if test not in self._codes:
            if len(self._codes) > 2000:
                self._codes.clear()
            self._codes[test] = compile(test, TEST_FILE, "exec", dont_inherit=True)
        return self._codes[test]

    def _run(self, program: dict[str, Any], candidate: Any) -> None:
        code = self._code(program["test"])
        names = self._helpers.space(program, code)
        names[program["entry_point"]] = candidate
        seed(program["test"], program["source"])
        exec(code, names)
        names["check"](candidate)

    def _test_beside(self, program: dict[str, Any], names: dict[str, Any]) -> None:
        self._run(program, names[program["entry_point"]])

    def strict(self, program: dict[str, Any], cpu_seconds: float) -> dict[str, Any]:
        """One program in a fork of its own, its test here."""
        asked = {name: program[name] for name in ("source", "entry_point", "language")}
        if program["language"] != "python":
            asked["source"] += "\n" + program["test"]
            self._keeper.send({**asked, "cpu": cpu_seconds})
            ended = self._keeper.receive()
            return self._answer(*_of_script(ended, cpu_seconds), ended)
        try:
            self._helpers.space(program, self._code(program["test"]))
        except Exception as error:
            what = "its helpers" if isinstance(error, HelpersError) else type(error).__name__
            detail = line(f"the test cannot be run: {what}: {error}")
            return {"status": "infra-error", "detail": detail, "cpu": 0.0, "memory": 0.0}
        self._keeper.send({**asked, "cpu": cpu_seconds})
        _, descriptors, _, _ = socket.recv_fds(self._keeper.stream, 1, 1)
        with socket.socket(fileno=descriptors[0]) as stream:
            remote = Remote(Channel(stream, self._settings.reply))
            outcome = self._examine(program, remote)
            self._keeper.send({"vanished": remote.vanished})
            ended = self._keeper.receive()
        if ended["reason"]:
            outcome = "timeout", _TIMEOUT[ended["reason"]]
        elif remote.vanished:
            outcome = _of_death(ended, cpu_seconds)
        return self._answer(*outcome, ended)

    @staticmethod
    def _answer(status: str, detail: str, ended: dict[str, Any]) -> dict[str, Any]:
        return {"status": status, "detail": detail, "cpu": ended["cpu"], "memory": ended["memory"]}

    def _examine(self, program: dict[str, Any], remote: Remote) -> Outcome:
        def candidate(*args: Any, **kwargs: Any) -> Any:
            return remote.call(*args, **kwargs)

        candidate.__name__ = candidate.__qualname__ = program["entry_point"]
        outcome = "passed", ""
        try:
            remote.start()
            self._run(program, candidate)
            remote.finish()
        except Gone:
            outcome = "failed", ""
        except ToldError as error:
            outcome = of_exception(error.told)
        except BaseException as error:
            outcome = of_test(error, program["test"])
        return remote.final or outcome


_TIMEOUT = {"cpu": "CPU time", "idle": ASLEEP, "wall": "wall time"}


def _of_death(ended: dict[str, Any], cpu_seconds: float) -> Outcome:
    code = ended["code"]
    if code is None:
        return "failed", "it closed its channel"
    if code >= 0:
        return "exited", f"exit code {code}"
    if -code == signal.SIGXCPU or (-code == signal.SIGKILL and ended["cpu"] > cpu_seconds):
        return "timeout", _TIMEOUT["cpu"]  # by its own limit: many threads outrun the watch
    if -code == signal.SIGKILL:
        return "crashed", KILLED
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return ("forbidden" if -code == signal.SIGSYS else "crashed"), name


def _of_script(ended: dict[str, Any], cpu_seconds: float) -> Outcome:
    if ended["reason"]:
        return "timeout", _TIMEOUT[ended["reason"]]
    said = line(ended["said"])
    if ended["code"] == 0:
        return "passed", ""
    if ended["code"] is not None and ended["code"] < 0:
        return _of_death(ended, cpu_seconds)
    return "failed", said or f"exit code {ended['code']}"


def main(
    jobs: socket.socket, keeper: socket.socket, settings: Settings, confinement: Confinement
) -> None:
    """The judge's process."""
    with contextlib.suppress(ValueError, OSError):  # not all systems let it be set
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (settings.memory, hard))
    judge = Judge(Channel(jobs), Channel(keeper), settings, confinement)
    try:
        judge.serve()
    except ClosedError:
        os._exit(0)
