"""The stages that a model went through, each begun with the weights of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from codegen25.config import read_json
from codegen25.data.shards import HEADER, read_header
from codegen25.directory import FACTS
from codegen25.errors import UserError
from codegen25.seal import SUMS
from codegen25.train.log import ANSWERS, LOG, TEXT, read
from codegen25.train.provenance import init_sha256

REPORT = "report.json"
NEEDED = (
    "recipe", "step", "tokens", "epochs", "seconds", "flops", "corpus_sha256", "corpus_bytes",
)  # fmt: skip
OF_RECIPE = ("name", "init", "corpus", "pairs", "batch", "shape", "objective", "corruption")


@dataclass(frozen=True)
class Stage:
    """A training run that came to its end or was stopped."""

    folder: Path
    facts: Mapping[str, Any]
    """As of `Trainer.facts`."""
    log: Sequence[Mapping[str, Any]]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The resolved recipe."""
        found: Mapping[str, Any] = self.facts["recipe"]
        return found

    @property
    def positions(self) -> int:
        """Computed on, padding included."""
        return int(self.facts["step"] * self.recipe["batch"] * self.recipe["shape"]["context"])

    @property
    def looks(self) -> list[Mapping[str, Any]]:
        """Entries of the log with bits per byte of what is held out, up to the weights' step."""
        found = [each for each in self.log if TEXT in each or ANSWERS in each]
        return [each for each in found if each["step"] <= self.facts["step"]]

    def corpus(self) -> Mapping[str, Any] | None:
        """The report of its corpus, where that still lies where the recipe says, as seen from here
        or from beside the folder of the runs; of a record header and report are enough."""
        folder = self.corpus_folder()
        return None if folder is None else read_json(folder / REPORT)

    def corpus_folder(self) -> Path | None:
        """Where the report and header of its corpus are."""
        for place in (Path(), self.folder.resolve().parent.parent):
            folder = place / self.recipe["corpus"]
            there = (folder / REPORT).is_file() and (folder / HEADER).is_file()
            if there and _text_sha256(folder) == self.facts["corpus_sha256"]:
                return folder
        return None


def stages(folders: Sequence[Path]) -> list[Stage]:
    """The runs in their order; a UserError where one did not start from the one before.

    What the first one started from, if anything, its recipe's `init` says. A run that is kept as a
    record, without weights, has their hashes in `checksums.json`.
    """
    for before, after in pairwise(folders):
        started = _facts(after).get("init_sha256")
        if not started or started != _weights_sha256(before):
            raise UserError(
                f"{after}: did not start from the weights in {before}; name the runs of one model "
                "in their order"
            )
    return [Stage(folder, _facts(folder), read(folder / LOG)) for folder in folders]


def _weights_sha256(folder: Path) -> dict[str, str]:
    if not list(folder.glob("*.safetensors")) and (folder / SUMS).is_file():
        return {k: v for k, v in read_json(folder / SUMS).items() if k.endswith(".safetensors")}
    return init_sha256(folder)


def _text_sha256(folder: Path) -> str:
    found: str = read_header(folder)["splits"]["train"]["sha256"]
    return found


def _facts(folder: Path) -> dict[str, Any]:
    found = read_json(folder / FACTS)
    missing = [name for name in NEEDED if name not in found]
    missing += [f"recipe.{name}" for name in OF_RECIPE if name not in found.get("recipe", {})]
    if missing:
        raise UserError(f"{folder / FACTS}: no {', '.join(missing)}; an older release wrote it")
    return found
