"""Checkpoints of a run, newest last, each whole or not there, and how to go on from one.

OUT/                        the newest model, a Hugging Face directory; its weights are a hard link
                            to the checkpoint's, the other files are copies
OUT/log.jsonl               every step
OUT/checkpoints/step-N/     a Hugging Face directory, and `state/` with fp32 weights and the
                            optimizers' state as a distributed checkpoint of torch, which any
                            number of processes can read; `checksums.json` over both
OUT/checkpoints/.damaged-…  one that was found damaged when the run went on: left to people
OUT/checkpoints/best        a link to the one with the fewest held-out bits per byte (of pairs: of
                            answers), with `keep_best` only: it might be pruned without
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver

from codegen25.directory import FACTS
from codegen25.errors import UserError
from codegen25.seal import SUMS

FOLDER, STATE, BEST = "checkpoints", "state", "best"


# ------------------------------------------------------------------------------------ tensors


def tensors(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], average: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All tensors a run consists of, by name: they are the run's own, not copies.

    State that an optimizer makes at its first step is made here, so that it can be read into.
    """
    found = {f"model.{name}": tensor for name, tensor in _parameters(model)}
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                if not state:
                    state.update(_fresh(optimizer, parameter))
                name = names[parameter]
                found.update({f"optimizer.{name}.{key}": value for key, value in state.items()})
    return found | {f"average.{name}": tensor for name, tensor in average.items()}


def _parameters(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    return ((name, parameter.detach()) for name, parameter in model.named_parameters())


def _fresh(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """An optimizer's state of a parameter before its first step."""
    zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    if isinstance(optimizer, torch.optim.AdamW):
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": step, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    return {"momentum": zeros}


def write_tensors(folder: Path, state: Mapping[str, Tensor], alone: bool) -> None:
    """Write `state`; every rank writes its part, unless it is alone."""
    with _without_warning():
        state_dict_saver.save(dict(state), checkpoint_id=folder, no_dist=alone)


def read_tensors(folder: Path, state: Mapping[str, Tensor], alone: bool) -> None:
    """Read into the tensors of `state` what `write_tensors` wrote, by however many ranks."""
    with _without_warning():
        state_dict_loader.load(dict(state), checkpoint_id=folder, no_dist=alone)


@contextmanager
def _without_warning() -> Iterator[None]:
    """torch says that a single process is a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


# -------------------------------------------------------------------------------- directories


def step_folder(out: Path, step: int) -> Path:
    """Where the checkpoint after `step` stands."""
    return out / FOLDER / f"step-{step:08}"


def steps(out: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((out / FOLDER).glob("step-????????"))


def sweep(out: Path) -> None:
    """Remove what a save that was killed left half-written."""
    for path in [*out.glob(".*.new"), *(out / FOLDER).glob(".*.new")]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def publish(folder: Path, out: Path) -> None:
    """Make a checkpoint's model the one in `out`, file by file, the weights last.

    Only the weights and the facts differ between checkpoints of a run, so that `out` is a whole
    model at any moment. Only the weights, which are large, are linked: people edit the rest, and a
    checkpoint must not change with it.
    """
    names = [path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS]
    for name in sorted(names, key=lambda name: (name.endswith(".safetensors"), name)):
        staging = out / f".{name}.new"
        staging.unlink(missing_ok=True)
        if not (name.endswith(".safetensors") and _linked(folder / name, staging)):
            shutil.copy2(folder / name, staging)
        staging.replace(out / name)
        staging.unlink(missing_ok=True)  # two names of one file: renaming does nothing


def _linked(path: Path, other: Path) -> bool:
    try:
        os.link(path, other)
    except OSError:  # a file system without hard links
        return False
    return True


def set_aside(folder: Path) -> Path:
    """Rename a damaged checkpoint, so that nothing takes it for one and nothing removes it."""
    aside, number = folder.with_name(f".damaged-{folder.name}"), 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f".damaged-{folder.name}-{number}")
    return folder.rename(aside)


def prune(out: Path, keep: int, keep_best: bool) -> None:
    """Remove all but the newest `keep` checkpoints, and the best if it is to stay."""
    best = (out / FOLDER / BEST).resolve()
    for folder in steps(out)[:-keep]:
        if not (keep_best and folder.resolve() == best):
            shutil.rmtree(folder, ignore_errors=True)
    drop_lost_mark(out)


def drop_lost_mark(out: Path) -> None:
    """Remove `best` if the checkpoint that it led to is gone."""
    link = out / FOLDER / BEST
    if link.is_symlink() and not link.exists():
        link.unlink()


def mark_best(out: Path, folder: Path) -> None:
    """Let `best` lead to a checkpoint."""
    link = out / FOLDER / f".{BEST}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(out / FOLDER / BEST)


def facts(folder: Path) -> dict[str, Any]:
    """How a checkpoint came about; a UserError when it does not say."""
    try:
        found = json.loads((folder / FACTS).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / FACTS}: cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{folder / FACTS}: not a JSON object")
    return found
