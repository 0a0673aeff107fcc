"""What an editor may choose, in `initializationOptions`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from codegen25.models import DEFAULT

RANGES = {
    "max_tokens": (1, 4096), "threads": (0, 1024), "budget_ms": (1, 60_000), "sure": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How the server answers.

    `multi_line` false ends a suggestion at its line's end. `budget_ms` is the time of a suggestion
    that nobody asked for; one that was asked for has four times as much. `threads` 0 is all. A
    suggestion ends where the model is less than `sure` of all of it, see `Sampling`.
    """

    model: str = DEFAULT
    weights: str = "auto"
    threads: int = 0
    max_tokens: int = 64
    multi_line: bool = True
    budget_ms: int = 250
    sure: float = 0.0

    def updated(self, given: object) -> tuple[Settings, list[str]]:
        """With what an editor gave, and a complaint about each thing that cannot be taken.

        What cannot be taken keeps its value: a suggestion with a default is better than none.
        """
        if given is None:
            return self, []
        if not isinstance(given, dict):
            return self, ["initializationOptions are no object; give one, say {} for the defaults"]
        settings, complaints = self, []
        for name, value in given.items():
            if complaint := _refuse(str(name), value):
                complaints.append(complaint)
            else:
                settings = dataclasses.replace(settings, **{name: value})
        return settings, complaints


_KINDS = {field.name: type(field.default) for field in dataclasses.fields(Settings)}
_SPOKEN = {str: "a string", int: "a whole number", bool: "true or false", float: "a number"}


def _refuse(name: str, value: object) -> str | None:
    """What is wrong with an option, if anything is."""
    if name not in _KINDS:
        return f"option {name[:40]!r} is unknown; there are {', '.join(_KINDS)}"
    if type(value) is not _KINDS[name] and (type(value), _KINDS[name]) != (int, float):
        return f"option {name} is {_SPOKEN[_KINDS[name]]}"
    if name in RANGES and isinstance(value, int | float):
        low, high = RANGES[name]
        if not low <= value <= high:
            return f"option {name} is {value}; it lies between {low} and {high}"
    return None
