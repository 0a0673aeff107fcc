"""`codegen25 eval card`: the written part of a card stays, what is measured is written anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codegen25.config import read_json
from codegen25.directory import FACTS, Directory
from codegen25.errors import UserError
from codegen25.evaluate.card import made, scored
from codegen25.evaluate.generate import weights_sha256
from codegen25.evaluate.report.folders import Run, read
from codegen25.evaluate.report.text import inserted
from codegen25.train.lineage import Stage, stages

CARD = "README.md"
MARK = "card"
NEW = """\
---
language: [code]
pipeline_tag: text-generation
tags: [code, infilling, fill-in-the-middle, llama]
---
# {name}

What it is for, and what it can't do, belongs here.

<!-- card -->
<!-- end of card -->
"""


def run(model: Path, training: Sequence[Path], scores: Sequence[Path]) -> Path:
    """Write the card of a model directory; its path comes back.

    `training` are the runs it came from, in their order, `scores` run folders of `eval`. Of a card
    that is there, what stands outside the marks stays.
    """
    directory = Directory.read(model)
    runs = require(model, training)
    measured = [read(folder) for folder in scores]
    for each in measured:
        require_of(model, each)
    parts = [made.shape(directory, model)]
    parts += [made.data(runs), made.training(runs), made.curve(runs)] if runs else []
    parts += [scored.text(measured)] if measured else []
    path = model / CARD
    before = _before(path, model.resolve().name, runs)
    staging = path.with_name(f".{CARD}.new")
    staging.write_text(inserted(before, MARK, "\n\n".join(parts), path), encoding="utf-8")
    staging.replace(path)
    return path


def require(model: Path, training: Sequence[Path]) -> list[Stage]:
    """The runs that a model came from; a UserError if it came from others, or if a card stands
    there that has no place for what is measured."""
    runs, path = stages(training), model / CARD
    if runs and read_json(model / FACTS) != runs[-1].facts:
        raise UserError(f"{model}: did not come from {training[-1]}, whose {FACTS} differs")
    if path.exists():
        inserted(_before(path, "", ()), MARK, "", path)
    return runs


def _before(path: Path, folder: str, runs: Sequence[Stage]) -> str:
    if not path.exists():
        return NEW.format(name=(runs[-1].recipe["name"] if runs else "") or folder)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def require_of(model: Path, measured: Run) -> None:
    """Refuse scores of other weights, as far as the run's conditions name them."""
    noted = measured.conditions.get("weights_sha256")
    if noted is not None and noted != weights_sha256(model):
        raise UserError(f"{measured.folder}: scores of other weights than {model} has; remove them")
