"""Several processes as `torchrun` starts them. One process wraps nothing and communicates nothing.

Replicated: every rank holds all weights and the gradients are summed. Sharded: FSDP2 cuts every
parameter, gradient and optimizer state over the ranks, block by block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.model import Llama, initial

BUCKET = 1 << 26
"""Bytes of gradients that are summed over replicas at a time."""
PATIENCE = timedelta(hours=6)
"""How long a process waits for the others. One hashes the corpus and cuts its rows while the rest
wait, hours for a terabyte; gloo gives up after 30 minutes by default, NCCL after 10. A process that
died is noticed at once all the same: `torchrun` ends the others."""


@dataclass(frozen=True)
class World:
    """This process among `size`, `local_size` of them on its machine; rank 0 prints and writes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @property
    def leads(self) -> bool:
        """Whether this is the first process of its machine."""
        return self.local_rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the ranks, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on some rank."""
        return self.sum(float(flag))[0] > 0

    def of_first(self, value: float) -> float:
        """What the first process has as `value`, for all."""
        return self.sum(value if self.first else 0.0)[0]

    def wait(self) -> None:
        """Go on when all ranks are here."""
        if self.size > 1:
            dist.barrier()


def join() -> World:
    """The world that `torchrun`'s environment names; without it this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return World(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")), local_size)


def leave() -> None:
    """Take leave of the others; without them nothing."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share_of(batch: int, world: World) -> int:
    """Rows of a batch for each rank; a UserError when it does not divide."""
    if batch % world.size:
        raise UserError(
            f"batch {batch} cannot be shared by {world.size} processes; make it a multiple"
        )
    return batch // world.size


def mesh_of_all() -> DeviceMesh:
    """All ranks in a line."""
    return init_device_mesh(_device(), (dist.get_world_size(),))


def shard(model: Llama, mesh: DeviceMesh | None = None) -> None:
    """Cut the parameters over all ranks: each block, then the rest (FSDP2)."""
    from torch.distributed.fsdp import fully_shard

    mesh = mesh or mesh_of_all()
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def reshard(model: nn.Module) -> None:
    """Cut again what a forward pass alone leaves whole: FSDP's root, which only a backward pass
    cuts. Until then its parameters are not those that were taken before. Without FSDP nothing."""
    if dist.is_initialized():
        from torch.distributed.fsdp import FSDPModule

        if isinstance(model, FSDPModule):
            model.reshard()


@torch.no_grad()
def sharded_from_nothing(
    config: ModelConfig, generator: torch.Generator, device: str, recompute: bool = False
) -> Llama:
    """A new model cut over all ranks that was never whole on any: one parameter at a time is."""
    with torch.device("meta"):
        model = Llama(config)
    model.model.recompute = recompute
    shard(model)
    model.to_empty(device=device)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    for name, parameter in model.named_parameters():
        parameter.copy_(like(initial(name, parameter.shape, generator).to(device), parameter))
    return model


def sum_gradients(model: nn.Module, world: World) -> None:
    """Add up replicated gradients; sharded ones have been, by FSDP, and are only unscaled.

    FSDP takes the mean over ranks, but the loss is already divided by all ranks' targets.
    """
    if world.size == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if any(is_sharded(g) for g in gradients):
        for gradient in gradients:
            gradient.mul_(world.size)
        return
    for some in buckets(gradients):
        flat = torch.cat([g.flatten() for g in some])
        dist.all_reduce(flat)
        parts = torch.split(flat, [g.numel() for g in some])
        for gradient, part in zip(some, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in their order, some `BUCKET` bytes at a time: few messages, and no second copy of
    all gradients."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(map(_bytes, bucket)) + _bytes(tensor) > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is cut over ranks."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, wherever its parts are; every rank has to ask for it."""
    full: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return full


def local(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor: the same memory, not a copy."""
    mine: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return mine


def like(full: Tensor, of: Tensor) -> Tensor:
    """`full` cut as `of` is; every rank has all of `full`."""
    if not is_sharded(of):
        return full
    from torch.distributed.tensor import distribute_tensor

    placed: Any = of
    return distribute_tensor(full, placed.device_mesh, placed.placements)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
