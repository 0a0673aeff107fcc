"""Keys saved against wrong shows as the threshold on confidence moves, of a typing run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codegen25.evaluate.report.figure import frame, round_numbers
from codegen25.evaluate.report.folders import Run
from codegen25.evaluate.report.tables import Row, Table
from codegen25.evaluate.report.text import escape

TITLE = "Confidence"
NUMBERS = ("threshold", "shown", "accepted", "wrong", "saved")

Points = Sequence[Mapping[str, float]]


def points(run: Run) -> Points:
    """The points that the run's scores hold; none of a run that is not of typing."""
    found: Any = run.scores.get("curve")
    if not isinstance(found, list):
        return []
    return [each for each in found if isinstance(each, Mapping) and _whole(each)]


def _whole(point: Mapping[str, Any]) -> bool:
    return all(isinstance(point.get(name), int | float) for name in NUMBERS)


def table(model: str, given: Points) -> Table:
    """A row a threshold."""
    return Table(
        f"{TITLE}: {model}",
        ("mean token log-probability", "shown", "accepted", "wrong shows", "keys saved, %"),
        tuple(
            Row((
                f"at least {each['threshold']:.2f}",
                *(f"{each[name]:g}" for name in ("shown", "accepted", "wrong")),
                f"{100 * each['saved']:.2f}",
            ))
            for each in given
        ),
    )  # fmt: skip


def figure(number: int, given: Points) -> str:
    """The curve as SVG: wrong shows across, keys saved upwards."""
    right = max(1.0, *(each["wrong"] for each in given))
    saved = [100 * each["saved"] for each in given]
    ticks = round_numbers(min(0.0, *saved), max(0.1, *saved))
    if ticks[-1] < max(saved):
        ticks.append(2 * ticks[-1] - ticks[-2])
    said = "; ".join(
        f"{each['wrong']:g} wrong shows, {100 * each['saved']:.2f} % of keys saved"
        for each in given
    )
    heads = "Keys saved, in per cent, over wrong shows", said
    parts, at = frame(f"c{number}-", heads, "wrong shows; upwards: keys saved, %", right, ticks,
                      lambda tick: f"{tick:g}")  # fmt: skip
    places = [at(each["wrong"], 100 * each["saved"]) for each in given]
    parts.append(f'<polyline class="line c0" points="{" ".join(places)}"/>')
    for place in places:
        x, y = place.split(",")
        parts.append(f'<circle class="dot c0" cx="{x}" cy="{y}" r="3"/>')
    caption = escape(
        "Each point shows only suggestions of at least a confidence, from the most confident "
        "tenth to all; nothing else is asked where one is hidden."
    )
    return f'<figure>{"".join(parts)}</svg><figcaption class="why">{caption}</figcaption></figure>'
