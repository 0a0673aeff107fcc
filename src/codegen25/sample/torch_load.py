"""A torch runner of a model directory: as it is stored, rounded to 8 bits, cut over processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from codegen25 import checkpoint
from codegen25.config import ModelConfig
from codegen25.device import choose
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.sample import joined, parallel, quantized
from codegen25.sample.torch_runner import TorchRunner
from codegen25.weights import weight_files


def alone(directory: Directory, device: str, kind: str, threads: int) -> TorchRunner:
    """The whole model on one device."""
    _use(threads)
    model = _model(directory, choose(device), kind)
    return TorchRunner(model, kind=_rounding(kind))


def among_several(directory: Directory, device: str, kind: str, threads: int) -> TorchRunner:
    """This process's share of a model; all but the first follow it, and end with it."""
    _use(threads)
    group = parallel.join(choose(device))
    model = _model(directory, group.device, kind, group)
    parallel.connect(model)
    runner = TorchRunner(model, kind=_rounding(kind))
    rows = group.least(runner.rows)
    if group.rank == 0:
        return parallel.Leader(model, group, rows, runner.kind)
    parallel.follow(runner, group)
    raise SystemExit(0)


def _model(
    directory: Directory, device: str, kind: str, group: parallel.Group | None = None
) -> Llama:
    whole, rounding = directory.config, _rounding(kind)
    own = parallel.share(whole, group.size) if group else whole
    _require_memory(directory, own, kind, device)
    model = blank(own, device, rounding)

    def change(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
        if group:
            tensor = parallel.part_of(name, tensor, group.rank, group.size)
        return quantized.tensors(name, tensor.to(device), rounding)

    dtype = torch.float32 if kind == "float32" or device == "cpu" else None
    state = checkpoint.read_tensors(directory.folder, whole, device, dtype, change)
    return joined.join(checkpoint.fill(model, state))


def blank(config: ModelConfig, device: str, rounding: str) -> Llama:
    """The empty model of a number type, for `checkpoint.fill` and `quantized.tensors`."""
    quantized.require_card(rounding, device)
    model = checkpoint.empty_model(config)
    quantized.prepare(model, rounding)
    return model


def _rounding(kind: str) -> str:
    return kind if kind in quantized.DTYPES else ""


def _require_memory(directory: Directory, own: ModelConfig, kind: str, device: str) -> None:
    if not device.startswith("cuda"):
        checkpoint.require_memory(directory.folder, own, torch.float32, device)
        return
    from torch.nn.attention import bias  # noqa: F401  (the first prompt would wait for it)

    stored = sum(path.stat().st_size for path in weight_files(directory.folder))
    wide = 4.0 if kind == "float32" else max(2.0, stored / directory.config.parameters)
    head = own.vocab_size * own.hidden_size * (1 if own.tie_word_embeddings else 2)
    blocks = (own.parameters - head) * (1.0 if _rounding(kind) else wide)
    need, free = head * wide + blocks, torch.cuda.mem_get_info(device)[0]
    if need > free:
        raise UserError(
            f"{directory.folder}: the weights take {need / 1e9:.1f} GB, {free / 1e9:.1f} GB of the "
            "card are free; use int8 weights, or several cards by torchrun"
        )


def _use(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)
