"""Exact deduplication: one copy of each text, wherever else it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from codegen25.data.documents import Document


def seen_before() -> Callable[[Document], str | None]:
    """A reason-to-drop that remembers; trailing whitespace does not make a file new."""
    seen: set[bytes] = set()

    def reason(document: Document) -> str | None:
        lines = (line.rstrip() for line in document.text.strip().splitlines())
        key = hashlib.sha256("\n".join(lines).encode()).digest()[:16]
        if key in seen:
            return "duplicate"
        seen.add(key)
        return None

    return reason
