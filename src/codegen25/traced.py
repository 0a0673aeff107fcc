"""What a log may say of an error: no message, for it may quote somebody's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

DEEPEST = 16
"""Lines of our code and others' that are told of a failure, the innermost ones."""


def traced(error: BaseException) -> str:
    """The kinds of an error and its causes and the lines they passed, in one line."""
    return " from ".join(_each(error))


def _each(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        frames = list(walk_tb(error.__traceback__))[-DEEPEST:]
        lines = " ".join(f"{_short(frame.f_code.co_filename)}:{at}" for frame, at in frames)
        yield f"{type(error).__name__} ({lines})"
        error = error.__cause__


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])
