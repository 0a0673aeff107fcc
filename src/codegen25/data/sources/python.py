"""Python source on this machine: the standard library and installed packages."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from codegen25.data.licenses import license_of
from codegen25.data.sources.reading import Origin
from codegen25.data.sources.task import File, Task, file_tasks
from codegen25.errors import UserError

STDLIB = "python-stdlib"
"""The repository that the standard library's files are in."""

_NO_LIBRARY = frozenset(
    {"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "__pycache__"}
)


@dataclass(frozen=True)
class StandardLibrary:
    """The running interpreter's own library, without site-packages and the test suite."""

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        root = Path(sysconfig.get_path("stdlib"))
        origin = Origin(STDLIB, "PSF-2.0")
        return file_tasks(
            File(os.path.realpath(path), path.relative_to(root).as_posix(), origin)
            for path in root.rglob("*.py")
            if not _NO_LIBRARY.intersection(path.relative_to(root).parts[:-1])
        )


@dataclass(frozen=True)
class Installed:
    """The Python files of installed packages, each a repository of the package's name.

    path  a site-packages folder; by default what the running interpreter sees.
    """

    path: str = ""

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        site = Path(self.path).expanduser().absolute()
        if self.path and not site.is_dir():
            raise UserError(f"{self.path} is no folder; give the path of a site-packages folder")
        found = distributions(path=[str(site)]) if self.path else distributions()
        packages: dict[str, Distribution] = {}
        for distribution in found:
            name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
            if name and name != "codegen25":
                packages.setdefault(name, distribution)
        return file_tasks(
            file for name, package in packages.items() for file in _files(name, package)
        )


def _files(name: str, package: Distribution) -> Iterator[File]:
    """The package's Python files by its record, which installers may have made of links."""
    origin = Origin(name, license_of(package.metadata) or "")
    for file in package.files or ():
        if file.suffix == ".py" and ".." not in file.parts:
            yield File(os.path.realpath(str(file.locate())), file.as_posix(), origin)
