"""An evaluation's rates in a training run's log, so that `train --plot` draws them over tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen25.config import read_json
from codegen25.directory import FACTS
from codegen25.errors import UserError
from codegen25.train.log import LOG, append, read


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
    """Append the rates, named `<benchmark> <metric>`; the first pass@1 also as `pass_at_1`."""
    found = {name: rate["value"] for name, rate in scores["metrics"].items()}
    entry: dict[str, Any] = {f"{scores['benchmark']} {name}": v for name, v in found.items()}
    if "pass@1" in found:
        entry["pass_at_1"] = found["pass@1"]
    append(run / LOG, dict(at) | entry)
