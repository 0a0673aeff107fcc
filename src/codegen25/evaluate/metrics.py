"""What the samples of a run and their verdicts say.

pass@k and its intervals are `statistics`'. For infills also, of each answer as it was emitted:

exact_match      equal to the reference, blanks around both aside
edit_similarity  2·LCS / (length + length) of both, character by character: `fuzz.ratio` of
                 thefuzz and rapidfuzz, which CrossCodeEval reports, as a share
stop_rate        the model closed the span before the limit
overrun          something follows after as many lines as the reference has
right_then_more  of these, those that began with the reference itself
suffix_echo      writes the suffix's first non-blank line once more
stop_gap         pass@1 with the oracle's cut (as many lines as the reference) minus as emitted
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from codegen25.errors import UserError
from codegen25.evaluate.judge import EMITTED, ORACLE
from codegen25.evaluate.samples import Judged, Key, Sample
from codegen25.evaluate.statistics import Rate, clustered, pass_at_k
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import oracle

KS = (1, 10, 100)
TROUBLE = "infra-error"
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
    for k in KS:
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

    def mean(value: Callable[[Task, Sample], float]) -> Rate:
        sums: dict[str, list[float]] = defaultdict(list)
        for sample in samples:
            sums[sample.task_id].append(value(tasks[sample.task_id], sample))
        return clustered([(tasks[t].problem, sum(v) / len(v)) for t, v in sums.items()])

    passed = {(each.key, each.form): each.passed for each in verdicts if each.status != TROUBLE}

    def gap(key: Key) -> float:
        both = [passed.get((key, form)) for form in (ORACLE, EMITTED)]
        return 0.0 if None in both else float(both[0] or 0) - float(both[1] or 0)

    return {
        "exact_match": mean(lambda t, s: s.raw.strip() == t.canonical_solution.strip()),
        "edit_similarity": mean(
            lambda t, s: similarity(s.raw.strip(), t.canonical_solution.strip())
        ),
        "stop_rate": mean(lambda t, s: s.stop_reason == "end"),
        "overrun": mean(lambda t, s: overruns(s.raw, t.canonical_solution)),
        "right_then_more": mean(
            lambda t, s: (
                overruns(s.raw, t.canonical_solution)
                and s.raw.strip().startswith(t.canonical_solution.strip())
            )
        ),
        "suffix_echo": mean(lambda t, s: echoes(s.raw, t.suffix)),
        "stop_gap": mean(lambda t, s: gap(s.key)),
    }


def echoes(middle: str, suffix: str) -> bool:
    """Whether an answer writes the suffix's first non-blank line once more."""
    lines = [line for line in suffix.splitlines() if line.strip()]
    return bool(lines) and lines[0] in middle.splitlines()


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
