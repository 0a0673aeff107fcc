"""Where Python source is found on this machine: the standard library and installed packages."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from codegen25.data.documents import Document, Tally
from codegen25.data.licenses import is_permissive, license_of
from codegen25.errors import UserError

STDLIB = "python-stdlib"
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """A source of files that stands under one licence."""

    name: str
    version: str
    license: str | None
    files: tuple[tuple[Path, str], ...]

    @property
    def permissive(self) -> bool:
        """Whether its files may be used for training."""
        return is_permissive(self.license)


def standard_library() -> Package:
    """The running interpreter's own library, without site-packages and the test suite."""
    root = Path(sysconfig.get_path("stdlib"))
    skip = {"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "__pycache__"}
    files = tuple(
        (path, path.relative_to(root).as_posix())
        for path in sorted(root.rglob("*.py"))
        if not skip.intersection(path.relative_to(root).parts[:-1])
    )
    return Package(STDLIB, sys.version.split()[0], "PSF-2.0", files)


def installed_packages(site: Path | None = None) -> list[Package]:
    """Packages installed in `site` (a site-packages folder), or beside the running interpreter."""
    if site is not None and not site.is_dir():
        raise UserError(f"{site} is not a folder; give a site-packages folder to --site")
    found = distributions(path=[str(site)]) if site is not None else distributions()
    packages = {}
    for distribution in found:
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name and name != "codegen25" and name not in packages:
            packages[name] = _package(name, distribution)
    return [packages[name] for name in sorted(packages)]


def _package(name: str, distribution: Distribution) -> Package:
    files = tuple(
        (Path(str(file.locate())), file.as_posix())
        for file in sorted(distribution.files or ())
        if file.suffix == ".py" and ".." not in file.parts
    )
    return Package(name, distribution.version, license_of(distribution.metadata), files)


def read(package: Package, tally: Tally) -> Iterator[Document]:
    """The package's readable UTF-8 files as documents; the others are counted in `tally`."""
    for path, relative in package.files:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                tally.drop(package.name, "larger than 1 MiB")
                continue
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            tally.drop(package.name, "not UTF-8")
        except OSError:
            tally.drop(package.name, "unreadable")
        else:
            yield Document(
                text.replace("\r\n", "\n"), relative, package.name, package.license or ""
            )
