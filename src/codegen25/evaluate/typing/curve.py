"""What a threshold on the model's confidence would have shown: keys saved against wrong shows.

The confidence of a suggestion is the mean log-probability of its tokens. A threshold hides the
suggestions below it. The curve is that of one replay: a suggestion that is hidden counts as never
made, and nothing else is asked in its place, which an editor might do at the next pause: it is an
estimate, from one replay instead of one a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codegen25.evaluate.typing.replay import Show

POINTS = 11


@dataclass(frozen=True)
class Point:
    """All suggestions of at least `threshold` (nats a token): how many, and what they came to."""

    threshold: float
    shown: int
    accepted: int
    wrong: int
    saved: float

    @property
    def probability(self) -> float:
        """The threshold as the geometric mean of the tokens' probabilities."""
        return math.exp(self.threshold)


def curve(
    shows: Sequence[tuple[Show, float]], characters: int, points: int = POINTS
) -> list[Point]:
    """The points from the most confident tenth of the shows, as equal shares, to all of them.

    `shows` come with their confidences; `characters` are those of the files, as in `Measures`.
    Suggestions of one confidence fall to the same side.
    """
    ordered = sorted(shows, key=lambda each: -each[1])
    found: list[Point] = []
    for number in range(1, points):
        threshold = ordered[-(-len(ordered) * number // (points - 1)) - 1][1] if ordered else 0.0
        if ordered and (not found or threshold < found[-1].threshold):
            found.append(_point(ordered, threshold, characters))
    return found


def _point(ordered: Sequence[tuple[Show, float]], threshold: float, characters: int) -> Point:
    kept = [show for show, confidence in ordered if confidence >= threshold]
    taken = [show for show in kept if show.accepted]
    saved = sum(show.saved for show in taken)
    return Point(
        threshold=threshold,
        shown=len(kept),
        accepted=len(taken),
        wrong=len(kept) - len(taken),
        saved=saved / characters if characters else 0.0,
    )


def table(points: Sequence[Point]) -> str:
    """The curve as Markdown."""
    head = (
        "| mean token log-probability | probability | shown | accepted | wrong shows | saved |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| ≥ {p.threshold:.2f} | {p.probability:.2f} | {p.shown} | {p.accepted} | {p.wrong} "
        f"| {p.saved:.1%} |\n"
        for p in points
    )
