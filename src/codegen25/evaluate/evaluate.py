"""A benchmark, a generator, a folder: make the samples that are missing, judge them, score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from codegen25.errors import UserError
from codegen25.evaluate.data import Benchmark
from codegen25.evaluate.generate import Generator, Settings, Wanted
from codegen25.evaluate.judge import judge
from codegen25.evaluate.progress import Progress
from codegen25.evaluate.run_folder import RunFolder
from codegen25.evaluate.samples import Judged, Sample
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.scores import scored
from codegen25.evaluate.tasks import Task

if TYPE_CHECKING:
    from codegen25.evaluate.bits import Bits


@dataclass(frozen=True)
class Plan:
    """How many samples of which tasks at which temperatures."""

    n: int = 1
    temperatures: tuple[float, ...] = (0.0,)
    limit: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 1000:
            raise UserError(f"--n {self.n}: it lies between 1 and 1000")
        if self.n > 1 and min(self.temperatures) == 0:
            raise UserError("--n above 1 needs temperatures above 0; greedy answers are all equal")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: at least 1")

    def wanted(self, tasks: Sequence[Task]) -> list[Wanted]:
        """Every sample of the plan; `tasks` are within the limit already."""
        return [
            Wanted(task, sample, temperature)
            for temperature in self.temperatures
            for task in tasks
            for sample in range(self.n)
        ]


def conditions(
    benchmark: Benchmark, generator: Generator, settings: Settings, plan: Plan, isolation: str
) -> dict[str, Any]:
    """What run.json says of a run."""
    return {
        "benchmark": benchmark.name,
        "data": benchmark.source.rsplit("/", 1)[-1],
        "data_sha256": benchmark.sha256,
        **asdict(settings),
        **generator.conditions,
        "n": plan.n,
        "temperatures": list(plan.temperatures),
        "limit": plan.limit,
        "isolation": isolation,
    }


def run(
    benchmark: Benchmark,
    generator: Generator,
    settings: Settings,
    plan: Plan,
    folder: RunFolder,
    box: Sandbox,
) -> dict[str, Any]:
    """Do what is not done yet; the scores, which are in the folder too."""
    said = conditions(benchmark, generator, settings, plan, box.level)
    folder.begin(said)
    tasks = benchmark.tasks[: plan.limit]
    wanted = plan.wanted(tasks)
    samples = _samples(folder, generator, wanted)
    verdicts = judged(folder, tasks, samples, box, emitted_too=settings.to_the_end)
    scores = scored(said, tasks, samples, verdicts, len(benchmark.tasks))
    measure = getattr(generator, "bits", None)  # only our own engine shows its probabilities
    if measure is not None:
        from codegen25.evaluate.bits import per_byte

        found = _bits(folder, measure, tasks)
        scores["metrics"] |= {name: asdict(rate) for name, rate in per_byte(tasks, found).items()}
    folder.finish(scores)
    return scores


def _samples(folder: RunFolder, generator: Generator, wanted: Sequence[Wanted]) -> list[Sample]:
    known = folder.known_samples()
    keys = {(each.task.task_id, each.sample, each.temperature): each for each in wanted}
    missing = [each for key, each in keys.items() if key not in known]
    line = Progress("answers", len(keys), len(keys) - len(missing))
    try:
        for sample in generator.generate(missing) if missing else ():
            folder.add_samples([sample])
            known[sample.key] = sample
            line.step()
    finally:
        folder.samples.sync()
        line.end()
    return [known[key] for key in keys]


def judged(
    folder: RunFolder,
    tasks: Sequence[Task],
    samples: Sequence[Sample],
    box: Sandbox,
    *,
    emitted_too: bool,
) -> list[Judged]:
    """The verdicts of the samples, those in the folder and those made now."""
    by_id = {task.task_id: task for task in tasks}
    keys = {sample.key for sample in samples}
    found = [each for each in folder.known_verdicts() if each.key in keys]
    line = Progress("verdicts", 0, len(found))
    made_now: list[Judged] = []
    try:
        for made in judge(box, by_id, samples, found, emitted_too=emitted_too):
            folder.add_verdicts(made)
            made_now += made
            line.step(len(made))
    finally:
        folder.verdicts.sync()
        line.end()
    return found + made_now


def _bits(
    folder: RunFolder, measure: Callable[[Sequence[Task]], Iterator[Bits]], tasks: Sequence[Task]
) -> list[Bits]:
    from codegen25.evaluate.bits import Bits

    found = [Bits(**record) for record in folder.bits.read()]
    done = {each.task_id for each in found}
    missing = [task for task in tasks if task.task_id not in done]
    line = Progress("bits per byte", len(tasks), len(tasks) - len(missing))
    try:
        for each in measure(missing) if missing else ():
            folder.bits.append([asdict(each)])
            found.append(each)
            line.step()
    finally:
        folder.bits.sync()
        line.end()
    return found
