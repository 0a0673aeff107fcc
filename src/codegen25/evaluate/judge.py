"""From samples to verdicts: the forms an answer is run in, equal programs once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from codegen25.evaluate.samples import Judged, Sample
from codegen25.evaluate.sandbox import Program, Sandbox, Verdict
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import oracle

EMITTED, TRUNCATED, ORACLE = "emitted", "truncated", "oracle"


def forms(
    task: Task, sample: Sample, *, emitted_too: bool, mixed: bool = False
) -> dict[str, Program]:
    """The programs of a sample by their form.

    An infill is run as emitted and with the oracle's cut; anything else truncated, and also as
    emitted where all of it is there. A whole program is run as it is; among samples that are none
    (`mixed`) it stands in both forms, so that either counts all samples.
    """
    if sample.whole:
        program = task.whole_program(sample.completion)
        return {TRUNCATED: program, EMITTED: program} if mixed else {EMITTED: program}
    if task.infill:
        cut = oracle(sample.raw, task.canonical_solution)
        return {EMITTED: task.program(sample.raw), ORACLE: task.program(cut)}
    prompt = task.prompt.removesuffix("\n") if sample.stripped else task.prompt
    found = {TRUNCATED: task.whole_program(prompt + sample.completion)}
    if emitted_too:
        found[EMITTED] = task.whole_program(prompt + sample.raw)
    return found


def judge(
    box: Sandbox,
    tasks: Mapping[str, Task],
    samples: Sequence[Sample],
    known: Sequence[Judged],
    *,
    emitted_too: bool,
) -> Iterator[list[Judged]]:
    """Verdicts of all forms that `known` does not hold yet, as they are decided."""
    earlier = {(each.key, each.form): each for each in known}
    waiting: dict[Program, list[tuple[Sample, str]]] = defaultdict(list)
    decided: dict[Program, Judged] = {}
    mixed = len({sample.whole for sample in samples}) > 1
    for sample in samples:
        made = forms(tasks[sample.task_id], sample, emitted_too=emitted_too, mixed=mixed)
        for form, program in made.items():
            if (before := earlier.get((sample.key, form))) is not None:
                decided[program] = before
            else:
                waiting[program].append((sample, form))
    at_once = [program for program in waiting if program in decided]
    for program in at_once:
        before = decided[program]
        verdict = Verdict(before.status, before.detail, before.cpu_ms)
        yield [_judged(*each, verdict) for each in waiting.pop(program)]
    programs = list(waiting)
    for index, verdict in box.run(programs):
        yield [_judged(*each, verdict) for each in waiting[programs[index]]]


def _judged(sample: Sample, form: str, verdict: Verdict) -> Judged:
    return Judged(*sample.key, form, verdict.status, verdict.detail, round(verdict.cpu_ms, 2))
