"""What in a folder is nobody's source: junk by name, and what a `.gitignore` leaves out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

FILE = ".gitignore"
JUNK = frozenset((
    "node_modules", "bower_components", "__pycache__", "venv", "env", "virtualenv",
    "site-packages", "build", "dist", "out", "target", "vendor", "third_party", "htmlcov",
    "coverage", "obj", "Pods", "DerivedData",
))  # fmt: skip
"""Folders that tools fill. Hidden ones are passed over as well."""
LONGEST = 1000
"""Characters of a pattern; longer ones are passed over."""
_ANY = "**"
_MOST_ANY = 3
"""More of them in one pattern could take long to match; nobody writes them."""


@dataclass(frozen=True)
class Rule:
    """A pattern of a `.gitignore` in `folder` ("" or ending in "/"), name by name."""

    folder: str
    names: tuple[str, ...]
    negated: bool
    folders_only: bool

    def matches(self, path: str, is_folder: bool) -> bool:
        """Whether the pattern speaks of a path, and of files or folders as this is one."""
        if (self.folders_only and not is_folder) or not path.startswith(self.folder):
            return False
        return _match(path[len(self.folder) :].split("/"), self.names)


def parse(text: str, folder: str) -> list[Rule]:
    """The rules of a `.gitignore`; lines that are no pattern are passed over."""
    return [rule for line in text.split("\n") if (rule := _rule(line, folder))]


def is_ignored(path: str, is_folder: bool, rules: Sequence[Rule]) -> bool:
    """Whether git would leave a path out: the last rule that matches decides."""
    for rule in reversed(rules):
        if rule.matches(path, is_folder):
            return not rule.negated
    return False


def is_junk_folder(name: str) -> bool:
    """Whether a folder is passed over by its name alone."""
    return name.startswith(".") or name in JUNK or name.endswith((".egg-info", ".dist-info"))


def _rule(line: str, folder: str) -> Rule | None:
    if len(line) > LONGEST:
        return None
    line = re.sub(r"(?<!\\) +$", "", line)
    if line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[negated:]
    folders_only = line.endswith("/")
    line = line.removesuffix("/")
    # Python knows no backslash in patterns; a class of one character says the same.
    plain = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], line)
    names = tuple(plain.removeprefix("/").split("/"))
    if "" in names or names.count(_ANY) > _MOST_ANY:
        return None
    return Rule(folder, names if "/" in line else (_ANY, *names), negated, folders_only)


def _match(path: Sequence[str], names: Sequence[str]) -> bool:
    if not names or not path:
        return not names and not path
    if names[0] != _ANY:
        return fnmatchcase(path[0], names[0]) and _match(path[1:], names[1:])
    return len(names) == 1 or any(_match(path[k:], names[1:]) for k in range(len(path)))
