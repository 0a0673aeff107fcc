"""Which runner computes a model: our kernels on a CPU where they can be compiled, else torch."""

from __future__ import annotations

import logging

from codegen25 import memory
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample.native.build import MissingError
from codegen25.sample.runner import Runner
from codegen25.weights import Weights

KINDS = ("int8", "int4", "float32")
_BYTES = {"int8": 1.07, "int4": 0.63, "float32": 4.0}
log = logging.getLogger(__name__)


def runner_for(directory: Directory, device: str, kind: str, threads: int) -> Runner:
    """A runner for a model directory on a device ("auto", "cpu", "cuda", …)."""
    if kind not in ("auto", *KINDS):
        raise UserError(f"weights {kind!r} are unknown; they are auto, {', '.join(KINDS)}")
    if device == "cpu" or (device == "auto" and not _has_gpu()):
        try:
            return _native(directory, "int8" if kind == "auto" else kind, threads)
        except MissingError as reason:
            if kind.startswith("int"):
                raise UserError(f"{kind} weights need our kernels: {reason}") from reason
            log.info("no kernels (%s): computing with torch", reason)
        device = "cpu"
    elif kind.startswith("int"):
        raise UserError(f"{kind} weights are for CPUs; leave the weights out on {device}")
    import torch

    from codegen25 import checkpoint
    from codegen25.device import choose
    from codegen25.sample.torch_runner import TorchRunner

    dtype = torch.float32 if kind == "float32" else None
    if threads:
        torch.set_num_threads(threads)
    return TorchRunner(checkpoint.load(directory.folder, choose(device), dtype).model)


def _native(directory: Directory, kind: str, threads: int) -> Runner:
    from codegen25.sample.native.runner import NativeRunner

    need = directory.config.parameters * _BYTES[kind]
    if need > (free := memory.available()):
        raise UserError(
            f"{directory.folder}: the weights take {need / 1e9:.1f} GB, {free / 1e9:.1f} GB of "
            "memory are free; use int4 weights, a smaller model or a machine with more"
        )
    weights = Weights(directory.folder, directory.config)
    return NativeRunner(directory.config, weights, kind, threads)


def _has_gpu() -> bool:
    """Whether torch sees a GPU; torch itself is not imported where the machine has none."""
    from pathlib import Path

    if not any(Path(each).exists() for each in ("/dev/nvidiactl", "/dev/kfd")):
        return False
    import torch

    return torch.cuda.is_available()
