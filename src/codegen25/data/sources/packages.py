"""Packages by name, fetched with pip, npm or apt: the only sources that need a network."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codegen25.data.sources.archives import archive_tasks
from codegen25.data.sources.debian_copyright import copyright_license
from codegen25.data.sources.fetch import fetched
from codegen25.data.sources.manifests import core_metadata, package_json, project_license
from codegen25.data.sources.reading import MAX_BYTES, Origin
from codegen25.data.sources.task import Task
from codegen25.errors import UserError

AT_ONCE = 4
"""Packages fetched at a time; most of the time is waiting."""

_PIP = re.compile(r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:==[\w.!+-]+)?")
_NPM = re.compile(r"(?P<name>(?:@[\w.~-]+/)?[A-Za-z0-9_~][\w.~-]*)(?:@[\w.^~+-]+)?")
_DEBIAN = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?:=[\w.+:~-]+)?")


@dataclass(frozen=True)
class Pip:
    """Python packages as pip downloads them: wheels, or source distributions where there are none.

    names  `NAME` or `NAME==VERSION`. For a source distribution pip runs the package's own build
           script to learn its name, as it does to install it.
    """

    names: tuple[str, ...]
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--prefer-binary",
            "--dest", ".",
        ]  # fmt: skip
        return _tasks("pip", self.names, _PIP, command, cache, self.max_bytes, _of_wheel)


@dataclass(frozen=True)
class Npm:
    """JavaScript packages as `npm pack` fetches them: `NAME`, `NAME@VERSION`, `@SCOPE/NAME`."""

    names: tuple[str, ...]
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        command = ["npm", "pack", "--ignore-scripts", "--loglevel=error"]
        return _tasks("npm", self.names, _NPM, command, cache, self.max_bytes, _of_npm)


@dataclass(frozen=True)
class Debian:
    """Debian packages as apt downloads them: `NAME` or `NAME=VERSION`.

    Those whose name ends in -dev hold headers of C and C++, or the source of Go and Rust.
    """

    names: tuple[str, ...]
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        command = ["apt-get", "--quiet", "download"]
        return _tasks("debian", self.names, _DEBIAN, command, cache, self.max_bytes, _of_debian)


def _tasks(
    kind: str,
    names: Sequence[str],
    form: re.Pattern[str],
    command: list[str],
    cache: Path,
    max_bytes: int,
    license_of: Callable[[Mapping[str, str], str], str],
) -> list[Task]:
    called = [_name(kind, spec, form) for spec in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        fetching = [pool.submit(fetched, cache, kind, spec, [*command, spec]) for spec in names]
        try:
            paths = [each.result() for each in fetching]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    tasks: list[Task] = []
    for name, path in zip(called, paths, strict=True):

        def origin(evidence: Mapping[str, str], name: str = name) -> Origin:
            return Origin(name, license_of(evidence, name))

        tasks += archive_tasks(path, origin, max_bytes)
    return tasks


def _name(kind: str, spec: str, form: re.Pattern[str]) -> str:
    """The package's name without a version."""
    match = form.fullmatch(spec)
    # It goes to a program: what is not a name could be an option, an address or a path.
    if not match:
        raise UserError(f"{kind}:{spec} is no package name; give NAME, or NAME with a version")
    return match["name"].lower().replace("_", "-") if kind == "pip" else match["name"]


def _of_wheel(files: Mapping[str, str], name: str) -> str:
    """From METADATA or PKG-INFO, else from the licence texts beside it."""
    beside = {path.rpartition("/")[2]: text for path, text in sorted(files.items())}
    metadata = beside.get("METADATA") or beside.get("PKG-INFO") or ""
    return core_metadata(metadata) or project_license(beside)


def _of_npm(files: Mapping[str, str], name: str) -> str:
    return package_json(files.get("package.json", "")) or project_license(files)


def _of_debian(files: Mapping[str, str], name: str) -> str:
    return copyright_license(files.get(f"usr/share/doc/{name}/copyright", ""))
