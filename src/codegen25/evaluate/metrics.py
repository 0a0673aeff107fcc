"""What the samples of a run and their verdicts say.

pass@k and its intervals are `statistics`'. For infills also, of each answer as it was emitted:

exact_match      equal to the reference, blanks around both aside
edit_similarity  2·LCS / (length + length) of both, character by character: `fuzz.ratio` of
                 thefuzz and rapidfuzz, which CrossCodeEval reports, as a share
stop_rate        the model closed the span before the limit
overrun          something follows after as many lines as the reference has
right_then_more  of these, those that began with the reference itself
suffix_echo      writes the suffix's first non-blank line more often than the reference does
stop_gap         pass@1 with the oracle's cut (as many lines as the reference) minus as emitted, of
                 the samples with a verdict in both

Where a hole ends within a line, as on random spans, the last line of the reference and the first
of the suffix are parts of one: what follows on that line is no overrun, and no echo.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from codegen25.errors import UserError
from codegen25.evaluate.judge import EMITTED, ORACLE
from codegen25.evaluate.samples import TROUBLE, Judged, Sample
from codegen25.evaluate.statistics import Rate, clustered, pass_at_k
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import oracle

KS = (1, 10, 100)
Tasks = Mapping[str, Task]


def passes(verdicts: Sequence[Judged], form: str, temperature: float) -> dict[str, tuple[int, int]]:
    """Samples and passes (n, c) of each task in a form at a temperature.

    A sample that the sandbox reached no verdict on is none: it is neither a pass nor a failure.
    """
    counted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in verdicts:
        if (each.form, each.temperature) == (form, temperature) and each.status != TROUBLE:
            counted[each.task_id][0] += 1
            counted[each.task_id][1] += each.passed
    return {task: (n, c) for task, (n, c) in counted.items()}


def pass_rates(counted: Mapping[str, tuple[int, int]], k: int) -> dict[str, float]:
    """The estimate of each task; a UserError names the first with fewer than k samples."""
    for task, (n, _) in sorted(counted.items()):
        if n < k:
            raise UserError(f"pass@{k} needs {k} samples of every task; {task} has {n}")
    return {task: pass_at_k(n, c, k) for task, (n, c) in counted.items()}


def pass_at(
    tasks: Tasks, verdicts: Sequence[Judged], form: str, temperature: float
) -> tuple[dict[str, Rate], list[str]]:
    """pass@1, 10 and 100 by name as far as the samples go, and what is said about the others."""
    counted = passes(verdicts, form, temperature)
    found: dict[str, Rate] = {}
    refused: list[str] = []
    for k in KS if counted else ():
        try:
            rates = pass_rates(counted, k)
        except UserError as error:
            refused.append(str(error))
            break
        values = [(tasks[task].problem, rate) for task, rate in rates.items()]
        found[f"pass@{k}"] = clustered(values)
    return found, refused


def infill_metrics(
    tasks: Tasks, samples: Sequence[Sample], verdicts: Sequence[Judged]
) -> dict[str, Rate]:
    """The metrics of infills; `samples` are of one temperature."""
    return {
        name: clustered([(tasks[task].problem, value) for task, value in values.items()])
        for name, values in infill_values(tasks, samples, verdicts).items()
        if values
    }


def infill_values(
    tasks: Tasks, samples: Sequence[Sample], verdicts: Sequence[Judged]
) -> dict[str, dict[str, float]]:
    """What `infill_metrics` are the means of: by metric each task's mean over its samples."""
    found = {name: means(samples, partial(of, tasks)) for name, of in _OF_INFILLS.items()}
    found |= ending_values(samples, verdicts)
    return {name: found[name] for name in INFILL}


def ending_values(
    samples: Sequence[Sample], verdicts: Sequence[Judged]
) -> dict[str, dict[str, float]]:
    """Of these the ones that take no reference: stop rate and stop gap."""
    passed = {(each.key, each.form): each.passed for each in verdicts if each.status != TROUBLE}

    def gap(sample: Sample) -> float | None:
        cut, emitted = (passed.get((sample.key, form)) for form in (ORACLE, EMITTED))
        return None if cut is None or emitted is None else float(cut) - float(emitted)

    return {
        "stop_rate": means(samples, lambda sample: sample.stop_reason == "end"),
        "stop_gap": means(samples, gap),
    }


def means(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> dict[str, float]:
    """Each task's mean over its samples that have a value."""
    sums: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if (found := value(sample)) is not None:
            sums[sample.task_id].append(found)
    return {task: sum(each) / len(each) for task, each in sums.items()}


def _reference(tasks: Tasks, sample: Sample) -> str:
    return tasks[sample.task_id].canonical_solution


def _right_then_more(tasks: Tasks, sample: Sample) -> bool:
    reference = _reference(tasks, sample)
    right = sample.raw.strip().startswith(reference.strip())
    return right and overruns(sample.raw, reference)


_OF_INFILLS: dict[str, Callable[[Tasks, Sample], float]] = {
    "exact_match": lambda t, s: s.raw.strip() == _reference(t, s).strip(),
    "edit_similarity": lambda t, s: similarity(s.raw.strip(), _reference(t, s).strip()),
    "overrun": lambda t, s: overruns(s.raw, _reference(t, s)),
    "right_then_more": _right_then_more,
    "suffix_echo": lambda t, s: echoes(s.raw, t[s.task_id].suffix, _reference(t, s)),
}
INFILL = (
    "exact_match", "edit_similarity", "stop_rate", "overrun", "right_then_more", "suffix_echo",
    "stop_gap",
)  # fmt: skip


def echoes(middle: str, suffix: str, reference: str) -> bool:
    """Whether an answer writes the suffix's first non-blank line more often than it should."""
    first = next((line for line in suffix.splitlines() if line.strip()), None)
    if first is None:
        return False
    return middle.splitlines().count(first) > reference.splitlines().count(first)


def overruns(middle: str, reference: str) -> bool:
    """Whether anything but blanks follows after as many lines as the reference has."""
    return bool(middle[len(oracle(middle, reference)) :].strip())


def similarity(one: str, other: str) -> float:
    """2·LCS / (length + length), 1.0 for two empty texts."""
    if not one and not other:
        return 1.0
    return 2 * common_subsequence(one, other) / (len(one) + len(other))


def common_subsequence(one: str, other: str) -> int:
    """The length of the longest common subsequence, bits in parallel (Hyyrö 2004)."""
    places: dict[str, int] = defaultdict(int)
    for i, character in enumerate(one):
        places[character] |= 1 << i
    full = (1 << len(one)) - 1
    row = full
    for character in other:
        found = row & places.get(character, 0)
        row = ((row + found) | (row - found)) & full
    return len(one) - row.bit_count()


def statuses(verdicts: Sequence[Judged], form: str) -> dict[str, int]:
    """How often each status was given in a form."""
    return dict(Counter(each.status for each in verdicts if each.form == form).most_common())
