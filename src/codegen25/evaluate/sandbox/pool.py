"""The coordinator: deals programs to workers and believes only what it has seen twice."""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from codegen25.errors import UserError
from codegen25.evaluate.sandbox.inside.outcome import ASLEEP
from codegen25.evaluate.sandbox.inside.settings import LEVELS
from codegen25.evaluate.sandbox.interpreters import commands
from codegen25.evaluate.sandbox.process import Job, LevelRefusedError, Worker, WorkerDiedError
from codegen25.evaluate.sandbox.program import Limits, Program, Verdict

BATCH, SMALL, GROUP, TRIES = 128, 16, 8, 3
"""Programs a first verdict is shared by, at most and at the beginning; programs sent at once to be
decided; before giving up."""
MOSTLY = 0.65
"""The share of passes from which on a first verdict costs more than it saves."""
MEMORY = 32
"""Programs that the share of passes is of, the latest counting most."""
BOTH, FIRST, STRICT = "both", "first", "strict"
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
        self._root = Path(tempfile.mkdtemp(prefix="codegen25-sandbox-"))
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
        folder = Path(tempfile.mkdtemp(dir=self._root))
        return Worker(level, folder, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and all that runs in them."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, programs: Iterable[Program], stages: str = BOTH) -> Iterator[tuple[int, Verdict]]:
        """Each program's number and verdict, as they are decided; equal programs are run once.

        `stages` is for measuring: FIRST believes the shared forks, STRICT skips them.
        """
        indices: dict[Program, list[int]] = {}
        for index, program in enumerate(programs):
            indices.setdefault(program, []).append(index)
        commands({program.language for program in indices})
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
        self._stalled: set[int] = set()
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
            yield from self._after_death(job, death.stuck)
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
            job.cpu < self._whole or (answer["detail"] == ASLEEP and self._may_be_a_stall(key))
        ):
            self._slow.append(key)
            return None
        memory = answer.get("memory", 0.0)
        return Verdict(status, answer["detail"], 1000 * answer["cpu"], memory)

    def _may_be_a_stall(self, key: int) -> bool:
        """Whether it is the first time: where nothing ran the disk may be to blame; try again."""
        first = key not in self._stalled
        self._stalled.add(key)
        return first

    def _learn(self, key: int, status: str) -> None:
        """Keep the share of passes, by each program's first verdict."""
        if key in self._known or status in ("again", "slow", "alone"):
            return
        self._known.add(key)
        weight = max(1 / len(self._known), 1 / MEMORY)
        self._passing += weight * ((status == "passed") - self._passing)

    def _after_death(self, job: Job, stuck: bool) -> Iterator[tuple[int, Verdict]]:
        """The one it was at is to blame, or nobody; the others have not been begun."""
        blamed, *others = job.keys
        if job.kind == "batch":
            self._batch.extendleft(reversed(others))
        else:
            self._strict.extendleft((key, job.cpu) for key in reversed(others))
        if stuck and job.kind == "strict":
            if job.cpu < self._whole or self._may_be_a_stall(blamed):
                self._slow.append(blamed)
            else:
                yield blamed, Verdict("timeout", "the test, on what the candidate returned")
            return
        self._tries[blamed] = self._tries.get(blamed, 0) + 1
        if self._tries[blamed] >= TRIES:
            yield blamed, Verdict("infra-error", f"its worker died {TRIES} times")
        else:
            self._slow.append(blamed)


def _ready(busy: dict[Worker, Job]) -> list[Worker]:
    if held := [worker for worker in busy if worker.has_more]:
        return held
    poll = select.poll()
    workers = {worker.stream.fileno(): worker for worker in busy}
    for descriptor in workers:
        poll.register(descriptor, select.POLLIN)
    return [workers[descriptor] for descriptor, _ in poll.poll()]
