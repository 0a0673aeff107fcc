"""The drill-down: every task with its passes, and of its answers the telling ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codegen25.evaluate.report.folders import Answer, Run, Verdict

EXAMPLES = 3
"""Different failures of a task that are shown, the most frequent ones, and one passing answer."""


@dataclass(frozen=True)
class Example:
    """An answer and how many of the task's samples are the same.

    `text` is the form of it that counts, `other` the other one: as emitted, or cut.
    """

    answer: Answer
    times: int
    text: str
    other: str


@dataclass(frozen=True)
class Problem:
    """A task: passes of n in the form that counts, how the others ended, examples."""

    task_id: str
    passes: int
    samples: int
    statuses: tuple[tuple[str, int], ...]
    failure: str
    examples: tuple[Example, ...]
    prompt: str
    suffix: str
    reference: str

    @property
    def outcome(self) -> str:
        """Whether all, some or none of the samples pass."""
        if not self.passes:
            return "none"
        return "all" if self.passes == self.samples else "some"


def problems(run: Run, tasks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """The tasks of a run in the order in which they were answered."""
    groups: dict[str, list[Answer]] = {}
    for answer in run.answers:
        groups.setdefault(answer.task_id, []).append(answer)
    return [
        _problem(task_id, answers, run.form, tasks.get(task_id, {}))
        for task_id, answers in groups.items()
    ]


def _problem(
    task_id: str, answers: Sequence[Answer], form: str, task: Mapping[str, Any]
) -> Problem:
    found = [_verdict(answer, form) for answer in answers]
    failures = Counter(each for each in found if each.status != "passed")
    worst = failures.most_common(1)[0][0] if failures else Verdict("", "")
    return Problem(
        task_id,
        sum(each.status == "passed" for each in found),
        len(answers),
        tuple(Counter(each.status for each in found).most_common()),
        ": ".join(part for part in (worst.status, worst.detail) if part),
        tuple(_examples(answers, form)),
        *(str(task.get(name) or "") for name in ("prompt", "suffix", "canonical_solution")),
    )


def _verdict(answer: Answer, form: str) -> Verdict:
    return answer.verdicts.get(form, Verdict("not decided", ""))


def _examples(answers: Sequence[Answer], form: str) -> Iterable[Example]:
    """Failures that differ, most frequent first, then the most frequent passing answer."""
    same: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        same.setdefault((_text(answer, form), _verdict(answer, form).status), []).append(answer)
    groups = sorted(same.values(), key=len, reverse=True)
    passing = [each for each in groups if _verdict(each[0], form).status == "passed"]
    failing = [each for each in groups if _verdict(each[0], form).status != "passed"]
    seen: dict[Verdict, list[Answer]] = {}
    for group in failing:
        seen.setdefault(_verdict(group[0], form), group)
    for group in [*list(seen.values())[:EXAMPLES], *passing[:1]]:
        one = group[0]
        other = one.completion if form == "emitted" else one.raw
        yield Example(one, len(group), _text(one, form), other)


def _text(answer: Answer, form: str) -> str:
    return answer.raw if form == "emitted" else answer.completion
