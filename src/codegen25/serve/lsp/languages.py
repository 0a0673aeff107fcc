"""An editor's name of a language to ours."""

from __future__ import annotations

from codegen25.sample.stopping.styles import STYLES

_ALIASES = {
    "bash": "shell", "sh": "shell", "shellscript": "shell", "zsh": "shell",
    "csharp": "c-sharp", "cs": "c-sharp", "c++": "cpp", "cuda": "cpp", "objective-c": "c",
    "golang": "go", "javascriptreact": "javascript", "jsx": "javascript",
    "typescriptreact": "typescript", "tsx": "typescript", "jsonc": "json",
    "less": "css", "scss": "css", "plsql": "sql", "restructuredtext": "restructuredtext",
    "rst": "restructuredtext", "rlang": "r", "vue": "html", "svelte": "html", "xhtml": "html",
}  # fmt: skip


def language(name: str) -> str:
    """The stop machine's name for LSP's `languageId` (or an editor's own word for it); "" else.

    >>> language("typescriptreact"), language("python"), language("klingon")
    ('typescript', 'python', '')
    """
    name = name.lower()
    name = _ALIASES.get(name, name)
    return name if name in STYLES else ""
