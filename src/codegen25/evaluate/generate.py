"""Who answers: our engine, a server, or nobody (the floor). A file of samples is in `samples`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from codegen25.evaluate.samples import Sample
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import completion
from codegen25.instruct import question
from codegen25.seal import file_sha256

INSTRUCTION = "Create a Python script for this problem:"
"""WizardCoder's and InstructCodeT5+'s words; the problem's text goes on after the response."""


@dataclass(frozen=True)
class Settings:
    """How answers are asked for, the same for every sample of a run.

    With `to_the_end` an answer is decoded on where nothing more of it would be kept. With `strip`
    a prompt that is continued is shown without the newline at its end, which an answer then
    begins with: newline and indentation are often one token, which no model writes in two. The
    program is what was shown and what was written, with nothing between.
    `weights` is the number type our engine computes with on a CPU.
    """

    max_tokens: int
    top_p: float = 0.95
    seed: int = 0
    truncation: str = "block"
    layout: str | None = None
    instruct: bool = False
    to_the_end: bool = False
    strip: bool = True
    weights: str = "float32"


@dataclass(frozen=True)
class Wanted:
    """A sample that is to be made."""

    task: Task
    sample: int
    temperature: float

    @property
    def name(self) -> str:
        """What its draws are named by."""
        return f"{self.task.task_id}#{self.sample}"

    def seed(self, seed: int) -> int:
        """A seed of its own, for a server that takes one a request: 31 bits."""
        digest = sha256(f"{seed}\0{self.name}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def answered(self, text: str, reason: str, tokens: int, settings: Settings) -> Sample:
        """The sample of an answer."""
        stripped = strips(self.task, settings)
        kept = completion(text, settings.truncation, self.task, stripped=stripped)
        place = self.task.task_id, self.sample, self.temperature
        return Sample(*place, text, kept, reason, tokens, stripped=stripped)


class Generator(Protocol):
    """Whoever answers. `conditions` go into run.json and must be equal for a run to go on."""

    @property
    def conditions(self) -> dict[str, object]:
        """Who it is."""

    def generate(self, wanted: Sequence[Wanted]) -> Iterator[Sample]:
        """A sample for each that is wanted, in any order."""


def shown(task: Task, settings: Settings) -> str:
    """The text before the answer as the model sees it."""
    given = task.given[:-1] if strips(task, settings) else task.given
    if not settings.instruct:
        return given
    return question(f"{INSTRUCTION}\n{task.given.rstrip()}") + given


def strips(task: Task, settings: Settings) -> bool:
    """Whether the prompt is shown without the newline at its end."""
    return settings.strip and not task.infill and task.given.endswith("\n")


@dataclass(frozen=True)
class Floor:
    """Answers nothing at all."""

    settings: Settings

    @property
    def conditions(self) -> dict[str, object]:
        """See `Generator`."""
        return {"model": "empty string"}

    def generate(self, wanted: Sequence[Wanted]) -> Iterator[Sample]:
        """See `Generator`."""
        for each in wanted:
            yield each.answered("", "end", 0, self.settings)


def weights_sha256(folder: Path) -> str:
    """What a model's weights hash to: of one file its own hash, of several that of their hashes."""
    sums = [file_sha256(file) for file in sorted(folder.glob("*.safetensors"))]
    return sums[0] if len(sums) == 1 else sha256(json.dumps(sums).encode()).hexdigest()
