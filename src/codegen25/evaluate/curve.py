"""An evaluation's rates in a training run's log, so that `train --plot` draws them over tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen25.config import read_json
from codegen25.directory import FACTS
from codegen25.errors import UserError
from codegen25.train import log
from codegen25.train.log import LOG, read


def point(folder: Path, run: Path) -> dict[str, int]:
    """Step and tokens of a model that a training run wrote; a UserError if `run` has not."""
    if not (run / LOG).is_file():
        raise UserError(f"{run / LOG}: no log of a training run; --log names a run's folder")
    facts = read_json(folder / FACTS) if (folder / FACTS).is_file() else {}
    at = {"step": facts.get("step"), "tokens": facts.get("tokens")}
    known = {(entry["step"], entry.get("tokens")) for entry in read(run / LOG)}
    if (at["step"], at["tokens"]) not in known:
        raise UserError(f"{folder}: no model of this run; {run / LOG} has no such step")
    return {name: int(value) for name, value in at.items() if value is not None}


def note(run: Path, at: Mapping[str, int], scores: Mapping[str, Any]) -> None:
    """Append the rates, named `<benchmark> <metric>`.

    pass@1 is also `pass_at_1`, the curve that is drawn, unless another benchmark's already is.
    """
    found = {f"{scores['benchmark']} {k}": rate["value"] for k, rate in scores["metrics"].items()}
    rate = f"{scores['benchmark']} pass@1"
    others = any("pass_at_1" in entry and rate not in entry for entry in read(run / LOG))
    if rate in found and not others:
        found["pass_at_1"] = found[rate]
    log.note(run / LOG, {**at, **found})
