"""Python parsed once for all the steps that look at its tree."""

from __future__ import annotations

import ast
import gc
import re
import warnings
from functools import lru_cache

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def lines_of(text: str) -> list[str]:
    """Lines as Python's parser counts them: a form feed, unlike in `str.splitlines`, ends none."""
    return _LINE.findall(text)


@lru_cache(maxsize=1)
def parse(text: str) -> ast.Module | None:
    """The tree of a source file, not to be changed; None if this Python's parser refuses it.

    Parsing is most of the pipeline's time. A document goes through all steps before the next, so
    the last tree is the one that is asked for again; and without the garbage collector, which finds
    nothing in a growing tree, parsing takes a fifth less.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    finally:
        if collecting:
            gc.enable()
