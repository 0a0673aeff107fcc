"""A checkpoint with its weights stored in another number type."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from codegen25 import checkpoint
from codegen25.config import CONFIG, read_json
from codegen25.errors import UserError
from codegen25.export.folder import checked, files_of, replacing
from codegen25.weights import INDEX, Weights

LOG = "log.jsonl"
"""What a training run has beside its model."""

TYPES = {
    "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8,
}  # fmt: skip


def write(folder: Path, out: Path, kind: str) -> None:
    """Write the checkpoint in `folder` into the folder `out`, weights in one of `TYPES`.

    Card, licence and facts of training come along. A UserError if the type is unknown, or int8 and
    the shape has none.
    """
    if kind not in TYPES:
        raise UserError(f"type {kind!r} is unknown; there are {', '.join(TYPES)}")
    _require_free(folder, out)
    directory, raw = checked(folder), read_json(folder / CONFIG)
    with replacing(out, CONFIG) as staging:
        checkpoint.write(
            staging, directory.config, _Tensors(Weights(folder, directory.config)),
            directory.tokenizer, dtype=TYPES[kind], infill=raw.get("infill"),
            marks=raw.get("codegen25"),
        )  # fmt: skip
        for path in files_of(folder):
            weights = path.suffix == ".safetensors" or path.name == INDEX
            if not weights and not (staging / path.name).exists():
                shutil.copy2(path, staging)


def readable(folder: Path, out: Path, kind: str) -> Path:
    """A checkpoint for engines of others: itself, or, where its weights are in a form of ours, a
    copy in the folder `out` with weights of one of `TYPES`."""
    if "I8" not in Weights(folder, checked(folder).config).dtypes:
        return folder
    if not out.exists():
        write(folder, out, kind)
    return out


def _require_free(folder: Path, out: Path) -> None:
    """Refuse to write over the model itself, or over a folder that holds more than a model."""
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} is the model itself; name another folder")
    if out.is_dir() and (any(path.is_dir() for path in out.iterdir()) or (out / LOG).exists()):
        raise UserError(f"{out} holds more than a model; name another folder")


class _Tensors(Mapping[str, Tensor]):
    """Weights as torch's tensors, one at a time in float32."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self._weights[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
