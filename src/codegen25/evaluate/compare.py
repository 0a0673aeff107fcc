"""`codegen25 eval compare`: two runs of the same tasks, and whether they differ at all.

Every metric is compared task by task, and the interval of the difference redraws problems, the
same ones for both runs: what is hard is hard for both, so it is far narrower than the two
intervals side by side would say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate import data, metrics
from codegen25.evaluate.bits import Bits
from codegen25.evaluate.judge import EMITTED, TRUNCATED
from codegen25.evaluate.report.folders import benchmark, is_infill
from codegen25.evaluate.run_folder import RunFolder
from codegen25.evaluate.samples import Judged, Sample
from codegen25.evaluate.statistics import Rate, clustered_ratio, paired
from codegen25.evaluate.table import PLAIN
from codegen25.evaluate.tasks import Task, problem_of

SHOWN = 10
"""Tasks that are listed of those that gained most, and of those that lost most."""


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    name: str
    conditions: Mapping[str, Any]
    samples: Sequence[Sample]
    verdicts: Sequence[Judged]
    bits: Sequence[Bits]

    @property
    def temperatures(self) -> list[float]:
        """Those it was sampled at."""
        return sorted({sample.temperature for sample in self.samples})


@dataclass(frozen=True)
class Difference:
    """A metric of both runs over the tasks of both, and how much larger the second one's is."""

    metric: str
    first: float
    second: float
    difference: Rate

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True)
class Comparison:
    """Two runs at a pair of temperatures: metrics, and the share of passes of each task."""

    temperatures: tuple[float, float]
    differences: tuple[Difference, ...]
    passes: Mapping[str, tuple[float, float]]

    def moved(self, sign: int) -> list[str]:
        """The tasks whose share of passes grew (1) or fell (-1), the largest change first."""
        change = {task: sign * (second - first) for task, (first, second) in self.passes.items()}
        return sorted((task for task in change if change[task] > 0), key=lambda t: (-change[t], t))


def run(first: Path, second: Path, tasks: str | None, as_json: bool) -> None:
    """Print the comparison; `tasks`, the data, is needed for metrics that take a reference."""
    sides = read(first), read(second)
    _check_alike(*sides)
    known = {each.task_id: each for each in data.read(Path(tasks)).tasks} if tasks else {}
    found = [compared(*sides, pair, known) for pair in _pairs(*sides)]
    if as_json:
        print(json.dumps([_told(each) for each in found]))
    else:
        print("\n".join(shown(*sides, each) for each in found), end="")


def read(folder: Path) -> Side:
    """A run folder."""
    if not (folder / "samples.jsonl").is_file():
        raise UserError(
            f"{folder}: no run folder (it holds no samples.jsonl); give an --out of eval"
        )
    opened = RunFolder(folder)
    try:
        said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        bits = [Bits(**record) for record in opened.bits.read()]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: its run.json or bits.jsonl cannot be read ({error})") from error
    samples = list(opened.known_samples().values())
    return Side(str(folder), said, samples, opened.known_verdicts(), bits)


def _check_alike(one: Side, other: Side) -> None:
    sums = [side.conditions.get("data_sha256") for side in (one, other)]
    names = [str(side.conditions.get("benchmark")) for side in (one, other)]
    if None in sums and names[0] == names[1]:
        return
    if sums[0] != sums[1] or None in sums:
        raise UserError(
            f"{one.name} is of {names[0]} and {other.name} of {names[1]}, not of the same file of "
            "tasks; compare runs of one"
        )


def _pairs(one: Side, other: Side) -> list[tuple[float, float]]:
    """The temperatures that both have; of runs with one each, these."""
    both = [each for each in one.temperatures if each in other.temperatures]
    if both:
        return [(each, each) for each in both]
    if len(one.temperatures) == len(other.temperatures) == 1:
        return [(one.temperatures[0], other.temperatures[0])]
    raise UserError(
        f"{one.name} and {other.name} have no temperature in common "
        f"({_numbers(one.temperatures)}; {_numbers(other.temperatures)})"
    )


def compared(
    one: Side, other: Side, temperatures: tuple[float, float], known: Mapping[str, Task]
) -> Comparison:
    """The comparison of the tasks that both runs have at a pair of temperatures."""
    infill = is_infill(benchmark(str(one.conditions.get("benchmark"))))
    form = _form(one, other, EMITTED if infill else TRUNCATED)
    counts = [
        metrics.passes(side.verdicts, form, temperature)
        for side, temperature in zip((one, other), temperatures, strict=True)
    ]
    common = [task for task in counts[0] if task in counts[1]]
    if not common:
        raise UserError(f"{one.name} and {other.name} have no task in common")
    problems = {task: problem_of(task, infill) for task in common}
    values = [
        _values(side, count, temperature, common, infill, known)
        for side, count, temperature in zip((one, other), counts, temperatures, strict=True)
    ]
    found = []
    for name in (name for name in values[0] if name in values[1]):
        both = [task for task in common if task in values[0][name] and task in values[1][name]]
        if both:
            first, second = (_of(each[name], both) for each in values)
            rate = paired(first, second, problems)
            found.append(Difference(name, _mean(first), _mean(second), rate))
    found += _of_bits(one, other, infill)
    passes = {
        task: (counts[0][task][1] / counts[0][task][0], counts[1][task][1] / counts[1][task][0])
        for task in common
    }
    return Comparison(temperatures, tuple(found), passes)


def _form(one: Side, other: Side, first: str) -> str:
    forms = [{each.form for each in side.verdicts} for side in (one, other)]
    both = [form for form in (first, EMITTED, TRUNCATED) if form in forms[0] & forms[1]]
    if not both:
        raise UserError(f"{one.name} and {other.name}: no verdicts on answers of one form")
    return both[0]


def _values(
    side: Side, counts: Mapping[str, tuple[int, int]], temperature: float, common: Sequence[str],
    infill: bool, known: Mapping[str, Task],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Of each metric each task's value."""
    here = {task: counts[task] for task in common}
    found = {
        f"pass@{k}": metrics.pass_rates(here, k)
        for k in metrics.KS
        if all(n >= k for n, _ in here.values())
    }
    if not infill:
        return found
    samples = [
        each for each in side.samples if each.temperature == temperature and each.task_id in here
    ]
    if missing := [task for task in here if known and task not in known]:
        raise UserError(f"task {missing[0]} is not in the data; name the file that was run")
    of = metrics.infill_values(known, samples, side.verdicts) if known else None
    return found | (of or metrics.ending_values(samples, side.verdicts))


def _of_bits(one: Side, other: Side, infill: bool) -> list[Difference]:
    theirs = {each.task_id: each for each in other.bits}
    both = [(each, theirs[each.task_id]) for each in one.bits if each.task_id in theirs]
    if not both:
        return []
    rows = [(problem_of(a.task_id, infill), b.bits - a.bits, a.size) for a, b in both]
    size = sum(a.size for a, _ in both)
    first, second = sum(a.bits for a, _ in both) / size, sum(b.bits for _, b in both) / size
    return [Difference("bits_per_byte", first, second, clustered_ratio(rows))]


def _of(values: Mapping[str, float], tasks: Sequence[str]) -> dict[str, float]:
    return {task: values[task] for task in tasks}


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


# ------------------------------------------------------------------------------------ shown


def shown(one: Side, other: Side, found: Comparison) -> str:
    """The comparison as Markdown."""
    up, down = found.moved(1), found.moved(-1)
    alike = len(found.passes) - len(up) - len(down)
    first, second = found.temperatures
    at = f"T {first:g}" if first == second else f"T {first:g} and {second:g}"
    lines = [
        f"A: {_who(one)}; B: {_who(other)}; {len(found.passes)} tasks of both, {at}",
        "",
        "| metric | A | B | B - A, 95 % interval |  |",
        "|---|---|---|---|---|",
        *map(_line, found.differences),
        "",
        f"B passes more often on {len(up)} tasks, less often on {len(down)}, as often on {alike}.",
    ]
    if up or down:
        lines += ["", "| task | A | B |", "|---|---|---|"]
        for task in (*up[:SHOWN], *reversed(down[:SHOWN])):
            lines.append("| {} | {:.1%} | {:.1%} |".format(task, *found.passes[task]))
        left = len(up) + len(down) - len(up[:SHOWN]) - len(down[:SHOWN])
        lines += ["", f"and {left} tasks more (--json names all)"] if left else []
    return "\n".join(lines) + "\n"


def _who(side: Side) -> str:
    return f"{side.name} ({side.conditions.get('model', 'unnamed')})"


def _line(each: Difference) -> str:
    plain = each.metric in PLAIN
    scale, digits, unit = (1.0, 3, "") if plain else (100.0, 2, " %")
    first, second = (f"{scale * value:.{digits}f}{unit}" for value in (each.first, each.second))
    rate = each.difference
    value, low, high = (f"{scale * v:+.{digits}f}" for v in (rate.value, rate.low, rate.high))
    said = "differs" if each.certain else "may be chance"
    name = each.metric.replace("_", " ")
    return f"| {name} | {first} | {second} | {value}{unit} [{low}, {high}] | {said} |"


def _told(found: Comparison) -> dict[str, Any]:
    return {
        "temperatures": list(found.temperatures),
        "tasks": len(found.passes),
        "metrics": {each.metric: {**asdict(each), "certain": each.certain} for each in
                    found.differences},
        "better": found.moved(1),
        "worse": found.moved(-1),
        "passes": {task: list(pair) for task, pair in found.passes.items()},
    }  # fmt: skip


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{each:g}" for each in values)
