"""A torch runner of a model directory: as it is stored, rounded to 8 bits, cut over processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from codegen25 import checkpoint
from codegen25.device import choose
from codegen25.directory import Directory
from codegen25.model import Llama
from codegen25.sample import parallel, quantized
from codegen25.sample.torch_runner import TorchRunner


def alone(directory: Directory, device: str, kind: str, threads: int) -> TorchRunner:
    """The whole model on one device."""
    _use(threads)
    device = choose(device)
    if kind in quantized.DTYPES:
        return TorchRunner(_model(directory, device, kind))
    dtype = torch.float32 if kind == "float32" else None
    return TorchRunner(checkpoint.load(directory.folder, device, dtype).model)


def among_several(directory: Directory, device: str, kind: str, threads: int) -> TorchRunner:
    """This process's share of a model; all but the first follow it, and end with it."""
    _use(threads)
    choose(device)
    group = parallel.join(device)
    model = _model(directory, group.device, kind, group)
    parallel.connect(model)
    if group.rank == 0:
        return parallel.Leader(model, group)
    parallel.follow(TorchRunner(model), group)
    raise SystemExit(0)


def _model(
    directory: Directory, device: str, kind: str, group: parallel.Group | None = None
) -> Llama:
    whole = directory.config
    own = parallel.share(whole, group.size) if group else whole
    rounding = kind if kind in quantized.DTYPES else None
    model = checkpoint.empty_model(own)
    if rounding:
        quantized.require_card(rounding, torch.device(device))
        quantized.prepare(model, rounding)

    def change(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
        if group:
            tensor = parallel.part_of(name, tensor, group.rank, group.size)
        return quantized.tensors(name, tensor, rounding) if rounding else {name: tensor}

    dtype = torch.float32 if kind == "float32" or device == "cpu" else None
    state = checkpoint.read_tensors(directory.folder, whole, device, dtype, change)
    return checkpoint.fill(model, state)


def _use(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)
