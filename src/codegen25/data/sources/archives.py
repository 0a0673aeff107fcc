"""An archive of source files as a source: zip, wheel, tar and Debian package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codegen25.data.documents import Count, Document
from codegen25.data.languages import known
from codegen25.data.sources.manifests import MAX_BYTES as MAX_MANIFEST
from codegen25.data.sources.manifests import project_license, tells_license
from codegen25.data.sources.members import Member, members
from codegen25.data.sources.reading import (
    HUGE,
    MAX_BYTES,
    Origin,
    account,
    judge,
    printable,
    skipped,
    too_large,
)
from codegen25.data.sources.task import TASK_BYTES, Task, stamp
from codegen25.errors import UserError

ENDINGS = (
    ".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst",
    ".deb",
)  # fmt: skip

TAR_PASSES = 8
"""A tar has no index: each task reads all that comes before its piece. At most so many do."""


@dataclass(frozen=True)
class Archive:
    """An archive of one repository.

    path       of the file.
    repo       its name; by default the file's, without endings.
    license    as of `Folder`.
    max_bytes  of the largest file read.
    """

    path: str
    repo: str = ""
    license: str = ""
    max_bytes: int = MAX_BYTES

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        path = Path(self.path).expanduser().absolute()
        if not path.is_file():
            raise UserError(f"{self.path}: no such archive")

        def origin(evidence: Mapping[str, str]) -> Origin:
            license_ = self.license or project_license(evidence)
            return Origin(self.repo or stem(path.name), license_, bool(self.license))

        return archive_tasks(path, origin, self.max_bytes)


@dataclass(frozen=True)
class ArchiveTask:
    """Reads the members of an archive from number `start` up to `stop`, None for the end.

    `top` is a folder that all members are in, left off from their names.
    """

    path: str
    start: int
    stop: int | None
    top: str
    origin: Origin

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        rule = _wanted(self.origin.limit)
        for index, member in enumerate(members(Path(self.path), rule)):
            if index == self.stop:
                return
            if index >= self.start:
                yield from self._judged(member, count)

    def _judged(self, member: Member, count: Count) -> Iterator[Document]:
        name = printable(member.name.removeprefix(self.top))
        if not member.refusal and not looked_at(member.name):
            return
        result: Document | str = member.refusal
        if not result and member.size > self.origin.limit:
            result = too_large(self.origin)
        if not result:
            raw = member.read()
            result = raw if isinstance(raw, str) else judge(raw, name, self.origin)
        yield from account(result, member.size, f"{self.origin.repo}/{name}", count)

    def state(self) -> Any:
        """See `Task.state`."""
        return stamp(self.path)


def archive_tasks(
    path: Path,
    origin: Callable[[Mapping[str, str]], Origin],
    max_bytes: int = MAX_BYTES,
) -> list[Task]:
    """An archive's tasks, at the price of one pass over it.

    `origin` makes the repository's origin of the files that tell the licence, by their names.
    """
    found = _survey(path, min(max_bytes, HUGE))
    evidence = {name.removeprefix(found.top): text for name, text in found.evidence.items()}
    made = replace(origin(evidence), max_bytes=max_bytes)
    return [
        ArchiveTask(str(path), start, stop, found.top, made)
        for start, stop in zip([0, *found.cuts], [*found.cuts, None], strict=True)
    ]


def looked_at(name: str) -> bool:
    """Whether a member may be source, by its name alone."""
    return known(name) and not skipped(name)


def stem(name: str) -> str:
    """A file's name without the endings of archives."""
    endings = sorted(ENDINGS, key=len, reverse=True)
    found = next((each for each in endings if name.lower().endswith(each)), "")
    return name[: len(name) - len(found)] or name


@dataclass
class _Survey:
    """What one pass over an archive shows: where to cut it, its top folder, and licence files."""

    top: str = ""
    cuts: list[int] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)


def _survey(path: Path, limit: int) -> _Survey:
    found = _Survey()
    wanted = _wanted(limit)
    sizes: list[tuple[int, int]] = []
    tops: set[str] = set()
    for index, member in enumerate(members(path, wanted)):
        if member.refusal:
            continue
        if len(tops) < 2:
            tops.add(member.name.partition("/")[0] if "/" in member.name else "")
        if tells_license(member.name) and member.size <= MAX_MANIFEST:
            raw = member.read()
            if isinstance(raw, bytes):
                found.evidence[printable(member.name)] = raw.decode("utf-8", "replace")
        if wanted(member.name, member.size):
            sizes.append((index, member.size))
    if len(tops) == 1 and tops != {""} and path.suffix not in (".whl", ".deb"):
        found.top = f"{tops.pop()}/"
    found.cuts = _cuts(sizes, path)
    return found


def _cuts(sizes: list[tuple[int, int]], path: Path) -> list[int]:
    """Numbers of the members at which a new task begins."""
    with path.open("rb") as file:
        indexed = file.read(2) == b"PK"
    total = sum(size for _, size in sizes)
    target = TASK_BYTES if indexed else max(TASK_BYTES, -(-total // TAR_PASSES))
    cuts, held = [], 0
    for index, size in sizes:
        if held >= target:
            cuts.append(index)
            held = 0
        held += size
    return cuts


def _wanted(limit: int) -> Callable[[str, int], bool]:
    def rule(name: str, size: int) -> bool:
        if tells_license(name) and size <= MAX_MANIFEST:
            return True
        return size <= limit and looked_at(name)

    return rule
