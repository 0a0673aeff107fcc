"""Languages: what editors and file names call them, and what the stop machine does."""

from __future__ import annotations

ALIASES = {
    "bash": "shell", "sh": "shell", "shellscript": "shell", "zsh": "shell",
    "csharp": "c-sharp", "cs": "c-sharp", "c++": "cpp", "cuda": "cpp", "objective-c": "c",
    "golang": "go", "javascriptreact": "javascript", "jsx": "javascript",
    "typescriptreact": "typescript", "tsx": "typescript", "jsonc": "json",
    "less": "css", "scss": "css", "plsql": "sql", "rst": "restructuredtext", "rlang": "r",
    "vue": "html", "svelte": "html", "xhtml": "html",
}  # fmt: skip
"""What editors call languages, and what we do."""
EXTENSIONS = {
    "py": "python", "pyi": "python", "js": "javascript", "jsx": "javascript", "mjs": "javascript",
    "ts": "typescript", "tsx": "typescript", "rs": "rust", "go": "go", "java": "java", "c": "c",
    "h": "c", "cc": "cpp", "cpp": "cpp", "hpp": "cpp", "cs": "c-sharp", "rb": "ruby", "php": "php",
    "sh": "shell", "lua": "lua", "kt": "kotlin", "swift": "swift", "scala": "scala",
}  # fmt: skip
LOOKED_AT = 8000


def language_named(name: str | None) -> str:
    """Our name of an editor's language; Python when it names none.

    >>> language_named("typescriptreact"), language_named(None), language_named("klingon")
    ('typescript', 'python', 'klingon')
    """
    known = (name or "python").lower()
    return ALIASES.get(known, known)


def language_of(path: str | None) -> str:
    """The language of a file's name, Python when it says nothing."""
    return EXTENSIONS.get((path or "").rpartition(".")[2].lower(), "python")


def extension_of(language: str) -> str:
    """How the names of a language's files end, without the dot; "txt" where that is not known."""
    return next((each for each, name in EXTENSIONS.items() if name == language), "txt")


def language_of_text(text: str) -> str:
    """A language whose blocks are made the way a text's are, for clients that name none.

    Python, or a name that no language has: its blocks are then taken to be made by brackets.
    """
    ends = [line[-1] for line in map(str.rstrip, text[:LOOKED_AT].split("\n")) if line]
    return "python" if ends.count(":") >= sum(map(ends.count, "{};")) else "brackets"
