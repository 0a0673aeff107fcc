"""Whether a step fits the memory that is free: asked before the model is built."""

from __future__ import annotations

import torch

from codegen25 import memory
from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.train import footprint
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe


def free(device: str) -> float:
    """Bytes that are free: of this process' GPU, or of the machine for all its processes."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(memory.available())


def require(
    recipe: Recipe, config: ModelConfig, dtype: torch.dtype, device: str, world: World
) -> None:
    """Refuse what would end in the middle of a step: a UserError on all ranks if one lacks memory.

    On a CPU the processes of a machine share its memory; each has a GPU of its own.
    """
    if torch.device(device).type not in ("cpu", "cuda"):
        return
    need = footprint.memory(recipe, config, world.size, dtype, device).total
    shared = world.local_size if device == "cpu" else 1
    have = free(device)
    if not world.any(shared * need > have):
        return
    processes = f" in each of {shared} processes" if shared > 1 else ""
    raise UserError(
        f"a step takes {need / 1e9:.1f} GB{processes}, {have / 1e9:.1f} GB of memory are free; "
        f"lower micro_batch (now {recipe.micro_batch}) or set recompute=true"
    )
