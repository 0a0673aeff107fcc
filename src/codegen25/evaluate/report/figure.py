"""Figure 1 of CodeGen2.5 as SVG that follows the page's colours: a measure over tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen25.errors import UserError
from codegen25.evaluate.report.text import escape
from codegen25.train import plot
from codegen25.train.log import LOG, read

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 24, 44
COLOURS = 6
FEW = 40
"""Up to so many points of a run each get a dot."""
ORDER = ("pass_at_1", *(name for name in plot.MEASURES if name != "pass_at_1"))
"""Pass rates first, where the logs have them."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A training run: points over tokens, and the tokens at the end of each epoch."""

    name: str
    points: Sequence[Point]
    epochs: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Figure:
    """What is drawn, its runs."""

    measure: str
    title: str
    series: Sequence[Series]


def figure(runs: Sequence[Path]) -> Figure:
    """What the logs of all the training runs have in common, pass rates before bits per byte."""
    logs = {run: read(run / LOG) for run in runs}
    for measure in ORDER:
        found = {run: plot.points_of(log, measure) for run, log in logs.items()}
        if all(found.values()):
            return Figure(
                measure,
                plot.MEASURES.get(measure, measure),
                [
                    Series(run.name, plot.smoothed(points), plot.epochs_of(logs[run]))
                    for run, points in found.items()
                ],
            )
    names = ", ".join(str(run / LOG) for run in runs)
    raise UserError(f"{names}: no measure that all of them have; see codegen25 train --plot")


def svg(drawn: Figure) -> str:
    """The figure as an SVG element, described for those who cannot see it."""
    points = [point for series in drawn.series for point in series.points]
    right = max(x for x, _ in points) or 1.0
    low, high = min(y for _, y in points), max(y for _, y in points)
    ticks = round_numbers(low, high)
    ticks += [2 * ticks[-1] - ticks[-2]] if ticks[-1] < high else []
    heads = f"{drawn.title} over the tokens trained on", described(drawn)
    foot = "tokens trained on; dotted: ends of epochs"
    parts, at = frame("f1", heads, foot, right, ticks, _count)
    low = ticks[0]
    for number, series in enumerate(drawn.series):
        parts += _series(series, number % COLOURS, at, low)
    return "".join((*parts, "</svg>"))


At = Callable[[float, float], str]
"""A point to its place in the picture."""


def frame(
    name: str, heads: tuple[str, str], foot: str, right: float, ticks: Sequence[float],
    count: Callable[[float], str],
) -> tuple[list[str], At]:  # fmt: skip
    """The beginning of a picture: title and description, grid, axes; and where points lie in it.

    From 0 to `right` across, along `ticks` upwards; `count` writes the numbers across.
    """
    low, high = ticks[0], ticks[-1]

    def at(x: float, y: float) -> str:
        across = LEFT + x / right * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}t {name}d">',
        f'<title id="{name}t">{escape(heads[0])}</title>',
        f'<desc id="{name}d">{escape(heads[1])}</desc>',
    ]
    for tick in ticks:
        _, y = at(0, tick).split(",")
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" dy="4" class="end">{tick:g}</text>')
    for tick in round_numbers(0, right):
        x, _ = at(tick, low).split(",")
        label = escape(count(tick)) if tick else "0"
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" class="mid">{label}</text>')
    middle = (LEFT + WIDTH) / 2
    parts.append(f'<text x="{middle:g}" y="{HEIGHT - 8}" class="mid">{escape(foot)}</text>')
    return parts, at


def described(drawn: Figure) -> str:
    """First and last value of each run, in words."""
    return "; ".join(
        f"{one.name}: {one.points[0][1]:.3f} after {_count(one.points[0][0])} tokens, "
        f"{one.points[-1][1]:.3f} after {_count(one.points[-1][0])}, "
        f"{len(one.epochs)} whole epochs"
        for one in drawn.series
    )


def _series(series: Series, colour: int, at: At, low: float) -> list[str]:
    places = [at(x, y) for x, y in series.points]
    parts = [f'<polyline class="line c{colour}" points="{" ".join(places)}"/>']
    if len(places) <= FEW:
        parts += [
            '<circle class="dot c{}" cx="{}" cy="{}" r="3"/>'.format(colour, *place.split(","))
            for place in places
        ]
    for epoch, tokens in series.epochs:
        x, _ = at(tokens, low).split(",")
        parts.append(f'<path class="epoch c{colour}" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{TOP - 6}" class="mid t{colour}">{epoch}</text>')
    return parts


def _count(tokens: float) -> str:
    return plot.short_count(float(f"{tokens:.3g}"))


def round_numbers(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span `low` to `high`, some `count` of them."""
    if high <= low:
        high = low + (abs(low) or 1)
    rough = (high - low) / count
    unit = 10 ** math.floor(math.log10(rough))
    step = next(size * unit for size in (1, 2, 2.5, 5, 10) if size * unit >= rough)
    first = math.floor(low / step)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
