"""From a dotted name in an import to the file of the repository that it means."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

Names = tuple[str, ...]

_ENDINGS = (".pyi", ".py")
"""The last wins: the source, where there is a stub too."""
_SOURCE_ROOTS: tuple[Names, ...] = ((), ("src",), ("lib",), ("python",))


class Modules:
    """The Python modules of a repository by their paths."""

    def __init__(self, paths: Iterable[str]) -> None:
        python = [path for path in sorted(paths) if path.endswith(_ENDINGS)]
        self._at: dict[Names, str] = {}
        self._ending_in: dict[str, list[Names]] = defaultdict(list)
        for path in sorted(python, key=lambda path: _ENDINGS.index(PurePosixPath(path).suffix)):
            parts = PurePosixPath(path).with_suffix("").parts
            names = parts[:-1] if parts[-1] == "__init__" else parts
            if names and names not in self._at:
                self._ending_in[names[-1]].append(names)
            self._at[names] = path

    def find(self, importer: str, level: int, names: Names) -> str | None:
        """The file of a module, or None when the repository does not have it.

        `level` is the number of leading dots, seen from the file `importer`; a module of the
        importer's own source root comes before namesakes elsewhere.
        """
        folder = PurePosixPath(importer).parts[:-1]
        if level:
            if level - 1 > len(folder):
                return None
            return self._at.get((*folder[: len(folder) - (level - 1)], *names))
        root = self._root(folder, names) if names else None
        return None if root is None else self._at[(*root, *names)]

    def _root(self, folder: Names, names: Names) -> Names | None:
        """The folder in which an absolute name is looked up: what `sys.path` would hold."""
        found = [
            each[: -len(names)]
            for each in self._ending_in.get(names[-1], ())
            if each[-len(names) :] == names
        ]
        roots = [root for root in found if not self._is_package(root)]
        above = [root for root in roots if root == folder[: len(root)]]
        if above:
            return max(above, key=len)
        usual = [root for root in roots if root in _SOURCE_ROOTS]
        if usual:
            return usual[0]
        # Elsewhere only what cannot be mistaken: one candidate, and no name of the library's.
        return roots[0] if len(roots) == 1 and names[0] not in sys.stdlib_module_names else None

    def _is_package(self, folder: Names) -> bool:
        return self._at.get(folder, "").endswith(("/__init__.py", "/__init__.pyi"))
