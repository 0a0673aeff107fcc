"""Other languages: which interpreters are installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import lru_cache

from codegen25.errors import UserError

_CANDIDATES = {
    "javascript": ("node", "nodejs"),
    "shell": ("bash", "sh"),
    "perl": ("perl",),
    "ruby": ("ruby",),
    "lua": ("lua", "lua5.4", "luajit"),
    "php": ("php",),
    "r": ("Rscript",),
    "julia": ("julia",),
    "racket": ("racket",),
}


@lru_cache(maxsize=1)
def available() -> dict[str, list[str]]:
    """Languages that can be run here, with the command that does."""
    found = {
        language: next(filter(None, map(shutil.which, names)), None)
        for language, names in _CANDIDATES.items()
    }
    return {language: [path] for language, path in found.items() if path}


def commands(languages: Iterable[str]) -> None:
    """Check that every language can be run."""
    for language in sorted(set(languages) - {"python"}):
        if language not in _CANDIDATES:
            known = ", ".join(("python", *_CANDIDATES))
            raise UserError(f"language {language!r}: this sandbox runs {known}")
        if language not in available():
            names = " or ".join(_CANDIDATES[language])
            raise UserError(f"language {language!r}: install {names}; it is not on the PATH")
