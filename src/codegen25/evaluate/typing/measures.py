"""What replays say: keys saved, suggestions shown, accepted, wrong, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen25.evaluate.typing.replay import Replay


@dataclass(frozen=True)
class Measures:
    """What a replay, or several together, say. Shares lie between 0 and 1."""

    characters: int
    keys: int
    saved: float
    completed: float
    requests: int
    shown: int
    accepted: int
    wrong: int
    p50_ms: float
    p95_ms: float


def measures(replays: Sequence[Replay], milliseconds: Sequence[float]) -> Measures:
    """The replays taken together. A key is a typed character or an acceptance."""
    characters = sum(each.characters for each in replays)
    keys = sum(each.typed + each.accepts for each in replays)
    completed = sum(each.completed for each in replays)
    shows = [show for each in replays for show in each.shows]
    shown, accepted = len(shows), sum(bool(show.accepted) for show in shows)
    return Measures(
        characters=characters,
        keys=keys,
        saved=(characters - keys) / characters if characters else 0.0,
        completed=completed / characters if characters else 0.0,
        requests=sum(each.requests for each in replays),
        shown=shown,
        accepted=accepted,
        wrong=shown - accepted,
        p50_ms=quantile(milliseconds, 0.5),
        p95_ms=quantile(milliseconds, 0.95),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank); 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(100 * share) // 100) - 1)] if ordered else 0.0
