"""How much memory this process may still take: of the machine, and of the container around it."""

from __future__ import annotations

from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")


def available(root: Path = _ROOT) -> int:
    """Bytes that can be allocated before the machine swaps or a container's limit kills."""
    return min([int(psutil.virtual_memory().available), *_container(root)])


def _container(root: Path) -> list[int]:
    """What is left below the limits of cgroup v2, else v1; nothing where there is none."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            left = int((root / limit).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue
        return [max(0, left)]
    return []
