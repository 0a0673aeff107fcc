"""Which runner computes a model: our kernels on a CPU where they can be compiled, else torch."""

from __future__ import annotations

import logging
import os

from codegen25 import memory
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample.native.build import MissingError
from codegen25.sample.runner import Runner
from codegen25.weights import Weights

KINDS = ("int8", "int4", "fp8", "float32")
_BYTES = {"int8": 1.07, "int4": 0.63, "float32": 4.0}
log = logging.getLogger(__name__)


def runner_for(
    directory: Directory, device: str, kind: str, threads: int, cut: bool = False
) -> Runner:
    """A runner for a model directory on a device ("auto", "cpu", "cuda", …).

    With `cut` it is cut over the processes that `torchrun` has started; only the first one returns.
    """
    if kind not in ("auto", *KINDS):
        raise UserError(f"weights {kind!r} are unknown; they are auto, {', '.join(KINDS)}")
    if device == "auto":
        device = "cuda" if _has_gpu() else "cpu"
    if device == "cpu" and kind == "fp8":
        raise UserError("fp8 weights are for GPUs; use int8 or int4 on a CPU")
    if device == "cpu" and not cut:
        try:
            return _native(directory, "int8" if kind == "auto" else kind, threads)
        except MissingError as reason:
            if kind.startswith("int"):
                raise UserError(f"{kind} weights need our kernels: {reason}") from reason
            log.info("no kernels (%s): computing with torch", reason)
    if kind == "int4":
        raise UserError("int4 weights are for our kernels, on a CPU alone; use int8 weights")
    from codegen25.sample import torch_load

    if cut:
        return torch_load.among_several(directory, device, kind, threads)
    return torch_load.alone(directory, device, kind, threads)


def processes() -> tuple[int, int]:
    """This process's number, and how many `torchrun` has started to hold a model together."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


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
