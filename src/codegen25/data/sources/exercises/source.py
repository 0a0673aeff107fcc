"""The source: exercises grouped into files, files into repositories, those into tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from codegen25.data.documents import GENERATED, Count, Document
from codegen25.data.sources.exercises.generate import exercise
from codegen25.data.sources.exercises.literal import imports
from codegen25.data.sources.exercises.render import Exercise
from codegen25.data.sources.reading import account
from codegen25.data.sources.task import Task
from codegen25.errors import UserError

LICENSE = "Apache-2.0"
REPOSITORY = 75
"""Exercises in a repository, 30 kB: small enough to be held out of a corpus of 10 MB."""
TASK = 40 * REPOSITORY
"""Exercises that a task writes."""
SIZES = (1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6)
"""Exercises in a file, to be drawn from."""


@dataclass(frozen=True)
class Exercises:
    """Short Python functions with docstrings and examples, written by a grammar of our own.

    count  of exercises; about 400 bytes each.
    seed   exercise i is a function of the seed and i.

    Raises UserError for a count below 1 or a negative seed.
    """

    count: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"count is {self.count}; ask for at least one exercise")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; it is at least 0")

    def tasks(self, cache: Path) -> list[Task]:
        """See `Source.tasks`."""
        return [
            ExercisesTask(self.seed, first, min(first + TASK, self.count))
            for first in range(0, self.count, TASK)
        ]


@dataclass(frozen=True)
class ExercisesTask:
    """Writes the exercises from `first` to below `end`; `first` begins a repository."""

    seed: int
    first: int
    end: int

    def read(self, count: Count) -> Iterator[Document]:
        """See `Task.read`."""
        for start in range(self.first, self.end, REPOSITORY):
            repo = f"{GENERATED}{self.seed}-{start // REPOSITORY:04}"
            for number, group in enumerate(
                grouped(self.seed, start, min(start + REPOSITORY, self.end))
            ):
                rng = Random(f"{self.seed}/{start}/{number}")
                text = document(group, rng)
                path = f"{group[0].name.lower()}_{number}.py"
                made = Document(text, path, repo, LICENSE, "python")
                yield from account(made, made.size, made.name, count)

    def state(self) -> Any:
        """The digest of what writes them: another grammar writes other exercises."""
        digest = hashlib.sha256()
        for path in sorted(Path(__file__).parent.rglob("*")):
            if path.suffix in (".py", ".txt"):
                digest.update(path.read_bytes())
        return digest.hexdigest()


def grouped(seed: int, start: int, end: int) -> Iterator[list[Exercise]]:
    """The exercises of a repository in files: of names of their own, as many as is drawn."""
    rng = Random(f"{seed}/{start}/files")
    group: list[Exercise] = []
    size = rng.choice(SIZES)
    for i in range(start, end):
        each = exercise(seed, i)
        if len(group) >= size or each.name in {other.name for other in group}:
            yield group
            group, size = [], rng.choice(SIZES)
        group.append(each)
    yield group


def document(group: Sequence[Exercise], rng: Random) -> str:
    """A module of the exercises with the imports they need."""
    head = "\n".join(imports(each.code for each in group))
    parts = [head] if head else []
    for each in group:
        parts.append(each.code.rstrip("\n"))
        if each.tests and rng.random() < 0.5:
            parts.append("\n".join(each.tests))
        elif each.tests:
            lines = "".join(f"    {line}\n" for line in each.tests)
            parts.append(f"def test_{each.name}():\n{lines}".rstrip("\n"))
    return "\n\n\n".join(parts) + "\n"
