"""What a worker is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACES, FILTERS, LIMITS = LEVELS = ("namespaces", "filters", "limits")
"""From the strongest: see `docs/sandbox.md`."""


@dataclass(frozen=True)
class Settings:
    """The same for every sample of a worker; sizes in bytes, times in seconds."""

    level: str
    folder: str
    readable: tuple[str, ...]
    path: tuple[str, ...]
    cpu_seconds: float
    wall_factor: float
    memory: int
    file: int
    output: int
    disk: int = 64 << 20
    open_files: int = 128
    reply: int = 4 << 20
