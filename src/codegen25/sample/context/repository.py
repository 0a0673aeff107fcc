"""A folder of source code in memory, read once and then only where it changed."""

from __future__ import annotations

import os
from pathlib import Path

from codegen25.errors import UserError
from codegen25.sample.context.view import File, View
from codegen25.sample.context.walk import Limits, read, walk


class Repository(View):
    """The source files of a folder as a `View`.

    Left out are hidden files and folders, what a `.gitignore` names, folders that tools fill
    (node_modules, build, environments), links, binaries, generated files and what is beyond the
    `limits`. What cannot be read is passed over. The folder is read when this is made; `refresh`
    reads it again. A folder that is none is a UserError.
    """

    def __init__(self, root: Path | str, limits: Limits | None = None) -> None:
        super().__init__()
        self.root = Path(root).expanduser().resolve()
        self.limits = limits or Limits()
        if not self.root.is_dir():
            raise UserError(f"{root}: no folder; give the one that holds the code")
        self._stamps: dict[str, tuple[int, int]] = {}
        self.refresh()

    def refresh(self) -> int:
        """Read what is new or has another time or size, drop what is gone; how many files that was.

        Without changes this costs a look at the folder's names and times.
        """
        stamps: dict[str, tuple[int, int]] = {}
        changes = 0
        for found in walk(self.root, self.limits):
            stamps[found.path] = stamp = (found.modified, found.size)
            if self._stamps.get(found.path) == stamp:
                continue
            text = read(self.root / found.path, self.limits.file_bytes)
            if text is not None:
                self.put(File(found.path, text, found.modified))
                changes += 1
            elif found.path in self.files:
                self.remove(found.path)
                changes += 1
        for path in [path for path in self.files if path not in stamps]:
            self.remove(path)
            changes += 1
        self._stamps = stamps
        return changes

    def relative(self, path: Path | str) -> str:
        """A file's path as the index spells it; one outside the folder keeps its name alone.

        A relative path is one seen from the folder.
        """
        whole = Path(os.path.normpath(self.root / Path(path).expanduser()))
        if not whole.is_relative_to(self.root):
            # The folder may have been reached through a link; the file itself may be one.
            whole = whole.parent.resolve() / whole.name
        inside = whole.is_relative_to(self.root)
        return whole.relative_to(self.root).as_posix() if inside else whole.name
