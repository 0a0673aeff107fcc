"""How much memory this process may still take: of the machine, and of the container around it."""

from __future__ import annotations

from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")


def available(root: Path = _ROOT) -> int:
    """Bytes that can be allocated before the machine swaps or a container's limit kills."""
    return min([int(psutil.virtual_memory().available), *_container(root)])


def _container(root: Path) -> list[int]:
    """What is left below the limits of cgroup v2, else v1; nothing where there is none.

    Cached file pages that nobody reads count as free: the kernel gives them up first.
    """
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            left = int((root / limit).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue
        return [max(0, left + _idle_cache(root / stat))]
    return []


def _idle_cache(path: Path) -> int:
    try:
        fields = dict(line.split() for line in path.read_text().splitlines())
        return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0
