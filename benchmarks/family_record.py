"""The record of the shipped models, docs/family: what was measured and how they were trained.

Of an evaluation its conditions, its scores and what `eval` was asked; of a training run all but the
weights and the lines of single steps; of a corpus header and report. Each part appears whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from codegen25.config import read_json
from codegen25.data.shards import HEADER
from codegen25.directory import FACTS
from codegen25.evaluate.generate import weights_sha256
from codegen25.evaluate.journal import write_json
from codegen25.seal import SUMS
from codegen25.train import plot
from codegen25.train.lineage import REPORT, Stage
from codegen25.train.log import LOG
from codegen25.train.provenance import init_sha256

SCORES, CONDITIONS, ASKED = "scores.json", "run.json", "asked.json"
PATHS = ("--data", "--corpus")
"""What `eval` is asked that says where something lies."""


def holds(place: Path, arguments: Sequence[str], model: Path) -> bool:
    """Whether `place` has what `eval` finds of a model's weights when it is asked this."""
    if not all((place / name).is_file() for name in (SCORES, CONDITIONS, ASKED)):
        return False
    of = read_json(place / CONDITIONS).get("weights_sha256")
    return read_json(place / ASKED) == _asked(arguments) and of == weights_sha256(model)


def keep_evaluation(out: Path, arguments: Sequence[str], place: Path) -> None:
    """Take over a run folder of `eval`."""

    def write(folder: Path) -> None:
        for name in (SCORES, CONDITIONS):
            shutil.copyfile(out / name, folder / name)
        write_json(folder / ASKED, _asked(arguments))

    _whole(place, write)


def keep_run(stage: Stage, place: Path) -> None:
    """Take over a training run, and header and report of a corpus that stands beside the runs."""
    ends = [
        next(e for e in stage.log if e.get("epoch", 0) >= number)
        for number, _ in plot.epochs_of([dict(each) for each in stage.log])
    ]
    entries = [{k: e[k] for k in ("step", "epoch", "tokens")} for e in ends]
    entries += [dict(each) for each in stage.log if "loss" not in each and "epoch" not in each]

    def write(folder: Path) -> None:
        shutil.copyfile(stage.folder / FACTS, folder / FACTS)
        write_json(folder / SUMS, init_sha256(stage.folder))
        lines = [json.dumps(each) + "\n" for each in sorted(entries, key=lambda e: e["step"])]
        (folder / LOG).write_text("".join(lines))

    _whole(place, write)
    corpus, name = stage.corpus_folder(), Path(stage.recipe["corpus"])
    if corpus is not None and len(name.parts) == 1 and name.name not in ("", "..", "runs"):

        def report(folder: Path) -> None:
            for each in (HEADER, REPORT):
                shutil.copyfile(corpus / each, folder / each)

        _whole(place.parent.parent / name, report)


def _asked(arguments: Sequence[str]) -> dict[str, list[str]]:
    pairs = zip(arguments, ["", *arguments], strict=False)
    return {"eval": [each for each, before in pairs if before not in PATHS]}


def _whole(place: Path, write: Callable[[Path], None]) -> None:
    staging = place.with_name(f".{place.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    write(staging)
    shutil.rmtree(place, ignore_errors=True)
    staging.rename(place)
