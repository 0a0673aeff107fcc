"""Samples from our own engine, in as many processes as there are cores.

A process computes with one thread, so a sample is the same whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from codegen25.evaluate.bits import Bits, measure
from codegen25.evaluate.generate import Settings, Wanted, shown, strips, weights_sha256
from codegen25.evaluate.processes import A, R, T, in_processes
from codegen25.evaluate.samples import Sample
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import enough, following
from codegen25.sample.engine import Engine
from codegen25.sample.engine import Settings as Computing
from codegen25.sample.native.runner import cores
from codegen25.sample.options import Sampling
from codegen25.sample.request import Priority, Request

LARGE = 1 << 30
"""Bytes of weights from which one process with all threads answers."""
FEW_ANSWERS, FEW_TASKS = 128, 64
"""So many answers, or tasks for their bits, are worth a process's start."""


class Local:
    """Our engine on a model directory."""

    def __init__(self, folder: Path, settings: Settings, workers: int = 0) -> None:
        self.folder, self.settings = folder, settings
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        # Beside others a process takes one thread; alone, and on a GPU, all there is.
        threads = 0 if size > LARGE else 1
        self.computing = Computing(kind=settings.weights, threads=threads)
        self.engine = Engine.load(folder, self.computing)
        self.alone = size > LARGE or self.engine.on_gpu
        self.workers = 1 if self.alone else workers or cores()
        self._sum = weights_sha256(folder)

    @property
    def conditions(self) -> dict[str, object]:
        """See `Generator`."""
        runner = self.engine.runner
        return {
            "model": self.folder.name,
            "parameters": runner.config.parameters,
            "weights_sha256": self._sum,
            "weights": runner.kind,
            "device": runner.device,
        }

    def generate(self, wanted: Sequence[Wanted]) -> Iterator[Sample]:
        """See `Generator`."""
        ordered = sorted(wanted, key=lambda each: (len(each.task.given), each.task.task_id))
        return self._spread(answers, ordered, self.settings, FEW_ANSWERS)

    def bits(self, tasks: Sequence[Task]) -> Iterator[Bits]:
        """What the references of tasks cost in bits."""
        return self._spread(measure, tasks, self.settings.layout, FEW_TASKS)

    def _spread(
        self, work: Callable[[Engine, Sequence[T], A], Iterator[R]], items: Sequence[T],
        argument: A, few: int,
    ) -> Iterator[R]:  # fmt: skip
        """`work` of all items, here or in as many processes as have more than a few to do."""
        workers = min(self.workers, -(-len(items) // few))
        if workers > 1:
            load = partial(Engine.load, self.folder, self.computing)
            yield from in_processes(load, work, items, argument, workers)
        else:
            yield from work(self.engine, items, argument)


def answers(engine: Engine, wanted: Sequence[Wanted], settings: Settings) -> Iterator[Sample]:
    """The samples of one process."""
    prompts = {}
    for task in {each.task.task_id: each.task for each in wanted}.values():
        layout = settings.layout if task.infill else "causal"
        text = shown(task, settings)
        prompts[task.task_id] = engine.prompt(
            text, task.suffix, max_tokens=settings.max_tokens, layout=layout
        )
    requests = [
        Request(
            prompts[each.task.task_id],
            settings.max_tokens,
            Sampling(each.temperature, settings.top_p, settings.seed),
            each.name,
            None
            if settings.to_the_end or each.task.infill
            else partial(_enough, task=each.task, settings=settings),
            priority=Priority.BATCH,
            draft=False,  # by torch a pass over several tokens rounds otherwise than single ones
        )
        for each in wanted
    ]
    for index, answer in engine.answer_all(requests):
        yield wanted[index].answered(answer.text, answer.stop_reason, answer.tokens, settings)


def _enough(text: str, task: Task, settings: Settings) -> bool:
    text, task = following(text, task, stripped=strips(task, settings))
    return enough(text, settings.truncation, task)
