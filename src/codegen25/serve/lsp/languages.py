"""An editor's name of a language to ours."""

from __future__ import annotations

from codegen25.sample.stopping.styles import STYLES
from codegen25.serve.languages import language_named


def language(name: str) -> str:
    """The stop machine's name for LSP's `languageId` (or an editor's own word for it); "" else.

    >>> language("typescriptreact"), language("python"), language("klingon")
    ('typescript', 'python', '')
    """
    name = language_named(name) if name else ""
    return name if name in STYLES else ""
