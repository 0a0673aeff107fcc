"""What a server is expected to bear, beside what it did. A goal that was missed is a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codegen25.bench.table import Row


@dataclass(frozen=True)
class Goal:
    """A bound for a figure of the tables above: at most so much, or with `least` at least."""

    figure: str
    bound: float
    least: bool = False

    def met(self, value: object) -> bool:
        """Whether a value keeps the bound; what is no number does not."""
        if not isinstance(value, int | float):
            return False
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{self.figure} {'at least' if self.least else 'at most'} {self.bound:g}"


LEFT = ("requests left", "waiting left", "slots left")
GOALS = (
    Goal("errors", 0),
    Goal("memory growth %", 2),
    Goal("HTTP beyond the engine, p50 ms", 2),
    *(Goal(what, 0) for what in LEFT),
    Goal("hung up a second", 200, least=True),
    Goal("unanswered", 0),
    *(Goal(f"{what} then", 0) for what in LEFT),
)


def checked(found: Mapping[str, Any]) -> list[Row]:
    """Every goal with the figure of that name, and whether it was met."""
    return [
        {
            "goal": str(goal),
            "measured": found.get(goal.figure, "nothing"),
            "met": "yes" if goal.met(found.get(goal.figure)) else "no",
        }
        for goal in GOALS
    ]
