"""What became of the suggestions: lengths and times in a local file, never code."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

GLIMPSE = 0.25
"""Seconds a suggestion must have been shown to count as dismissed."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suggestion:
    """One that an editor was given, `number` in this process; the cursor stood behind `prefix`."""

    number: int
    language: str
    prefix: str
    suffix: str
    text: str
    latency_ms: float
    since: float = field(default_factory=time.monotonic)

    def goes_on(self, prefix: str, text: str) -> bool:
        """Whether a later suggestion is what is left of this one."""
        return prefix.startswith(self.prefix) and self.prefix + self.text == prefix + text


class Notes:
    """The suggestions that are open, one a document, and the file where their ends are noted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, Suggestion] = {}
        self._numbers = 0

    def show(
        self, document: str, language: str, prefix: str, suffix: str, text: str, latency_ms: float
    ) -> int:
        """A suggestion is shown in a document; its number. The one before it is over."""
        before = self._open.get(document)
        if before is not None and before.goes_on(prefix, text):
            return before.number
        self.leave(document, prefix)
        self._numbers += 1
        self._open[document] = Suggestion(self._numbers, language, prefix, suffix, text, latency_ms)
        return self._numbers

    def leave(self, document: str, content: str = "") -> None:
        """A document's suggestion is over; `content` up to the cursor says how it ended."""
        suggestion = self._open.pop(document, None)
        if suggestion is None:
            return
        if content.startswith(suggestion.prefix + suggestion.text):
            self._note("accepted", suggestion)
        elif time.monotonic() - suggestion.since >= GLIMPSE:
            self._note("dismissed", suggestion)

    def tell(self, number: int, event: str) -> None:
        """The editor says what became of a suggestion. One that is over already is passed over."""
        for document, suggestion in list(self._open.items()):
            if suggestion.number == number:
                del self._open[document]
                self._note(event, suggestion)

    def _note(self, event: str, suggestion: Suggestion) -> None:
        row = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "event": event,
            "language": suggestion.language,
            "characters": len(suggestion.text),
            "lines": suggestion.text.count("\n") + 1,
            "prefix_characters": len(suggestion.prefix),
            "suffix_characters": len(suggestion.suffix),
            "latency_ms": round(suggestion.latency_ms, 1),
            "shown_ms": round(1000 * (time.monotonic() - suggestion.since)),
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with open(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(json.dumps(row) + "\n")
        except OSError as error:  # a disk that is full or read-only must not end the typing
            log.info("%s cannot be written: %s", self._path, error.strerror)
