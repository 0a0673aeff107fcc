"""The coordinator: deals programs to workers and believes only what it has seen twice."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from codegen25.errors import UserError
from codegen25.evaluate.sandbox.inside import landlock
from codegen25.evaluate.sandbox.inside.outcome import ASLEEP, KILLED
from codegen25.evaluate.sandbox.inside.settings import FILTERS, LEVELS, LIMITS
from codegen25.evaluate.sandbox.interpreters import commands
from codegen25.evaluate.sandbox.process import Job, LevelRefusedError, Worker, WorkerDiedError
from codegen25.evaluate.sandbox.program import Limits, Program, Verdict
from codegen25.evaluate.sandbox.root import Root

BATCH, SMALL, GROUP, TRIES = 128, 16, 8, 3
"""Programs a first verdict is shared by, at most and at the beginning; programs sent at once to be
decided; before giving up."""
MOSTLY = 0.65
"""The share of passes from which on a first verdict costs more than it saves."""
MEMORY = 32
"""Programs that the share of passes is of, the latest counting most."""
BOTH, FIRST, STRICT = "both", "first", "strict"
CONTROL = Program("def f(x):\n    return x\n", "f", "def check(f):\n    assert f(1) == 1\n")
"""Decided where a sample's worker dies again and again: if this goes well, the sample is at it."""
FIRST_SECONDS = 0.5
"""CPU seconds of a first attempt: the slow are tried again, with all they may have, at the end."""


class Sandbox:
    """A pool of workers that decide programs which nobody trusts.

    `isolation` is "best" (the strongest level that works here), "strict" (that level must be the
    strongest there is), or a level's name. `workers=0` is one a core.

    A program's test runs in a trusted process and calls the candidate in another; see
    `docs/sandbox.md`. Verdicts do not depend on the number of workers, nor on the machine's load.
    """

    def __init__(
        self, workers: int = 0, isolation: str = "best", limits: Limits | None = None
    ) -> None:
        if workers < 0:
            raise UserError(f"{workers} workers: at least 1, or 0 for one a core")
        self._limits = limits or Limits()
        self._root = Root()
        self._workers: list[Worker] = []
        try:
            first = self._first(_levels(isolation), isolation)
            self.level = first.level
            self._workers = [first]
            more = (workers or os.cpu_count() or 1) - 1
            self._workers += [self._worker(self.level) for _ in range(more)]
            for worker in self._workers[1:]:
                worker.wait()
        except BaseException:
            self.close()
            raise

    def _first(self, levels: Sequence[str], isolation: str) -> Worker:
        reasons = []
        for level in levels:
            worker = self._worker(level)
            try:
                worker.wait()
                return worker
            except LevelRefusedError as error:
                reasons.append(f"{level}: {error}")
        raise UserError(
            f"isolation {isolation!r} does not work on this machine ({'; '.join(reasons)}); "
            "'best' takes the strongest that does"
        )

    def _worker(self, level: str) -> Worker:
        return Worker(level, self._root.folder(), self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and all that runs in them."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        self._root.remove()

    def run(self, programs: Iterable[Program], stages: str = BOTH) -> Iterator[tuple[int, Verdict]]:
        """Each program's number and verdict, as they are decided; equal programs are run once.

        `stages` is for measuring: FIRST believes the shared forks, STRICT skips them.
        """
        indices: dict[Program, list[int]] = {}
        for index, program in enumerate(programs):
            indices.setdefault(program, []).append(index)
        languages = {program.language for program in indices}
        commands(languages)
        _confined(languages, self.level)
        with_ids = dict(enumerate(indices))
        for key, verdict in _Round(self, with_ids, stages).verdicts():
            for index in indices[with_ids[key]]:
                yield index, verdict


def _levels(isolation: str) -> Sequence[str]:
    if isolation == "best":
        return LEVELS
    if isolation == "strict":
        return LEVELS[:1]
    if isolation in LEVELS:
        return (isolation,)
    raise UserError(f"isolation {isolation!r}: best, strict, {', '.join(LEVELS)}")


def _confined(languages: set[str], level: str) -> None:
    """Refuse scripts where nothing would keep their signals from others of the user's processes."""
    scripts = sorted(languages - {"python"})
    if scripts and level == FILTERS and (found := landlock.version()) < landlock.SIGNALS:
        raise UserError(
            f"language {scripts[0]!r}: {level!r} cannot confine its signals on this kernel "
            f"(landlock {found}; it takes {landlock.SIGNALS}, Linux 6.12); run it where namespaces "
            f"work, or at --isolation {LIMITS} if you trust the samples"
        )


class _Round:
    """The programs of one call: which wait for what, and which worker is at which."""

    def __init__(self, box: Sandbox, programs: dict[int, Program], stages: str) -> None:
        self._box = box
        self._believes = stages == FIRST
        self._programs = programs
        self._whole = box._limits.cpu_seconds
        self._short = min(FIRST_SECONDS, self._whole)
        shared = {
            key for key, each in programs.items() if each.language == "python" and stages != STRICT
        }
        self._batch = deque(sorted(shared))
        self._strict = deque((key, self._short) for key in programs if key not in shared)
        self._slow: deque[int] = deque()
        self._tries: dict[int, int] = {}
        self._seen: set[tuple[int, str]] = set()
        self._passing, self._known = 0.0, set[int]()
        self._share = max(1, min(BATCH, len(shared) // (4 * len(box._workers))))

    def verdicts(self) -> Iterator[tuple[int, Verdict]]:
        """Until every program has one. Abandoned half-way, the workers begin anew."""
        busy: dict[Worker, Job] = {}
        try:
            while True:
                self._deal(busy)
                if not busy:
                    return
                for worker in _ready(busy):
                    yield from self._collect(worker, busy)
        finally:
            for worker in busy:
                worker.restart()

    def _deal(self, busy: dict[Worker, Job]) -> None:
        for worker in self._box._workers:
            if worker not in busy and (job := self._next()):
                busy[worker] = job
                told = [vars(self._programs[key]) for key in job.keys]
                worker.ask({"kind": job.kind, "programs": told, "cpu": job.cpu})

    def _next(self) -> Job | None:
        few = len(self._known) < MEMORY
        if self._batch and (self._believes or few or self._passing < MOSTLY):
            most = min(SMALL, self._share) if few else self._share
            size = min(most, len(self._batch))
            return Job("batch", [self._batch.popleft() for _ in range(size)], self._short)
        if not self._strict and self._batch:  # most pass: decide at once
            size = min(GROUP, len(self._batch))
            return Job("strict", [self._batch.popleft() for _ in range(size)], self._short)
        if self._strict:
            _, cpu = self._strict[0]
            keys: list[int] = []
            while self._strict and self._strict[0][1] == cpu and len(keys) < GROUP:
                keys.append(self._strict.popleft()[0])
            return Job("strict", keys, cpu)
        return Job("strict", [self._slow.popleft()], self._whole) if self._slow else None

    def _collect(self, worker: Worker, busy: dict[Worker, Job]) -> Iterator[tuple[int, Verdict]]:
        job = busy[worker]
        try:
            answer = worker.answer()
        except WorkerDiedError as death:
            del busy[worker]
            worker.restart()
            yield from self._after_death(job, death.stuck, worker)
            return
        key = job.keys.pop(0)
        if not job.keys:
            del busy[worker]
        if verdict := self._judged(key, job, answer):
            yield key, verdict

    def _judged(self, key: int, job: Job, answer: dict[str, Any]) -> Verdict | None:
        status = answer["status"]
        self._learn(key, status)
        if job.kind == "batch":
            if status == "again":
                self._batch.appendleft(key)
                return None
            if status == "slow":
                self._slow.append(key)
                return None
            if status == "alone" or (status == "passed" and not self._believes):
                cpu = self._whole if status == "passed" else self._short
                self._strict.append((key, cpu))
                return None
        elif status == "timeout" and (
            job.cpu < self._whole or (answer["detail"] == ASLEEP and self._first(key, ASLEEP))
        ):
            self._slow.append(key)
            return None
        elif status == "crashed" and answer["detail"] == KILLED:
            if self._first(key, KILLED):
                self._slow.append(key)
                return None
            if self._programs[key].language == "python" and self._box.level != LIMITS:
                # A sample may signal nobody there, so it was the kernel, twice.
                status, answer["detail"] = "oom", "killed from outside, again when tried once more"
        memory = answer.get("memory", 0.0)
        return Verdict(status, answer["detail"], 1000 * answer["cpu"], memory)

    def _first(self, key: int, what: str) -> bool:
        """Whether it is the first time: the machine may be to blame for it, so try again.

        ASLEEP: where nothing ran the disk may have stalled. KILLED: others may have taken the
        memory.
        """
        first = (key, what) not in self._seen
        self._seen.add((key, what))
        return first

    def _learn(self, key: int, status: str) -> None:
        """Keep the share of passes, by each program's first verdict."""
        if key in self._known or status in ("again", "slow", "alone"):
            return
        self._known.add(key)
        weight = max(1 / len(self._known), 1 / MEMORY)
        self._passing += weight * ((status == "passed") - self._passing)

    def _after_death(self, job: Job, stuck: bool, worker: Worker) -> Iterator[tuple[int, Verdict]]:
        """The one it was at is to blame, or nobody; the others have not been begun."""
        blamed, *others = job.keys
        if job.kind == "batch":
            self._batch.extendleft(reversed(others))
        else:
            self._strict.extendleft((key, job.cpu) for key in reversed(others))
        if stuck and job.kind == "strict":
            if job.cpu < self._whole or self._first(blamed, ASLEEP):
                self._slow.append(blamed)
            else:
                yield blamed, Verdict("timeout", "the test, on what the candidate returned")
            return
        self._tries[blamed] = self._tries.get(blamed, 0) + 1
        if self._tries[blamed] < TRIES:
            self._slow.append(blamed)
        elif self._works(worker):
            yield blamed, Verdict("crashed", f"its worker died {TRIES} times, and only with it")
        else:
            yield blamed, Verdict("infra-error", f"its worker died {TRIES} times")

    def _works(self, worker: Worker) -> bool:
        """Whether an idle worker decides a program that is right."""
        worker.ask({"kind": "strict", "programs": [vars(CONTROL)], "cpu": self._whole})
        try:
            return bool(worker.answer()["status"] == "passed")
        except WorkerDiedError:
            worker.restart()
            return False


def _ready(busy: dict[Worker, Job]) -> list[Worker]:
    if held := [worker for worker in busy if worker.has_more]:
        return held
    poll = select.poll()
    workers = {worker.stream.fileno(): worker for worker in busy}
    for descriptor in workers:
        poll.register(descriptor, select.POLLIN)
    return [workers[descriptor] for descriptor, _ in poll.poll()]
