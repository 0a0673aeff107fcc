"""A folder of code: a git checkout, a plain one, or one that holds several checkouts."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from codegen25.data.languages import known
from codegen25.data.shards import HEADER
from codegen25.data.sources import git
from codegen25.data.sources.manifests import MAX_BYTES as MAX_MANIFEST
from codegen25.data.sources.manifests import project_license, tells_license
from codegen25.data.sources.reading import MAX_BYTES, Origin, printable, read_file
from codegen25.data.sources.task import File, Task, file_tasks
from codegen25.errors import UserError


@dataclass(frozen=True)
class Folder:
    """A folder; every git checkout below it is a repository of its own.

    Files are those that git lists, tracked or new, without what a .gitignore leaves out. Hidden
    folders, node_modules, __pycache__ and virtual environments are passed over, links are counted
    and not followed.

    path       of the folder; `~` is the home folder.
    repo       its name; by default `owner/name` of the remote `origin`, else the folder's name.
    license    SPDX expression that all its files stand under, whatever they say; by default that
               of the file's SPDX header, the licence text, or the manifest at the top.
    exclude    patterns of paths to leave out, with `*` and `?`: of files, or folders with all
               that is in them.
    max_bytes  of the largest file read.
    """

    path: str
    repo: str = ""
    license: str = ""
    exclude: tuple[str, ...] = ()
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        root = Path(self.path).expanduser().resolve()
        if not root.is_dir():
            raise UserError(f"{self.path} is no folder; give the path of one that holds code")
        return file_tasks(self._files(root, root))

    def _files(self, root: Path, top: Path) -> Iterator[File]:
        """The files of the repository at `root`, and of those in it; `top` is the folder named."""
        found = git.listing(root)
        origin = Origin(
            self._name(root, top), self.license or license_of(root), bool(self.license),
            self.max_bytes,
        )  # fmt: skip
        # A corpus of ours that lies in the folder is no source, nor is its report.
        corpora = {Path(name).parent for name in found.files if Path(name).name == HEADER}
        made = {folder for folder in corpora if (root / folder / "report.json").is_file()}
        for name in found.files:
            path = root / name
            if Path(name).parent in made:
                continue
            if (known(name) or path.is_symlink()) and not self._excluded(path.relative_to(top)):
                yield File(str(path), printable(name), origin)
        for name in found.checkouts:
            if not self._excluded((root / name).relative_to(top)):
                yield from self._files(root / name, top)

    def _name(self, root: Path, top: Path) -> str:
        if self.repo:
            return "/".join((self.repo, *root.relative_to(top).parts))
        return git.remote_name(root) or (git.top_folder(root) or root).name or "root"

    def _excluded(self, path: Path) -> bool:
        names = [path.as_posix(), *(parent.as_posix() for parent in path.parents[:-1])]
        return any(
            fnmatch.fnmatchcase(name, pattern.rstrip("/"))
            for pattern in self.exclude
            for name in names
        )


def license_of(root: Path) -> str:
    """The licence of a repository: of the folder, or of the checkout that it is a part of."""
    top = git.top_folder(root) or root
    inner = root.relative_to(top).parts if root.is_relative_to(top) else ()
    for depth in range(len(inner), -1, -1):
        if found := project_license(_evidence(top.joinpath(*inner[:depth]))):
            return found
    return ""


def _evidence(folder: Path) -> dict[str, str]:
    texts = {}
    for path in sorted(folder.iterdir()):
        if tells_license(PurePosixPath(path.name).as_posix()) and path.is_file():
            _, raw = read_file(str(path), MAX_MANIFEST)
            if isinstance(raw, bytes):
                texts[path.name] = raw.decode("utf-8", "replace")
    return texts
