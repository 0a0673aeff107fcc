"""A step rehearsed without memory: every tensor is fake, FSDP2 is the real one.

One process stands for rank 0 of many: its process group talks to nobody. What the step allocates
and frees is added up, so that shapes and the memory of a rank are seen before a machine is rented.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._guards import active_fake_mode
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.train import head, lora, optimizer, parallel
from codegen25.train.objective import losses
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe


@dataclass(frozen=True)
class Rehearsed:
    """Parameters that a rank holds, bytes between steps and at the fullest moment of a step.

    `blocks` are those of the models that did it; of two, the figures are continued in line.
    """

    parameters: int
    standing: float
    peak: float
    blocks: tuple[int, ...]


FEW, MORE = 4, 6
"""Blocks that are rehearsed; blocks are alike, so that of more the figures follow. With fewer than
these the fullest moment may be another one."""


def rehearse(
    recipe: Recipe, config: ModelConfig, ranks: int, dtype: torch.dtype, device: str = "cuda"
) -> Rehearsed:
    """Two steps, the second of two micro-batches at most, of rank 0 of a resolved recipe.

    `device` says how much of the logits is held at a time; tensors are a CPU's in any case.
    """
    given = (ranks, dtype, device)
    if config.num_hidden_layers <= MORE:
        return _rehearse(recipe, config, *given)
    few, more = (
        _rehearse(recipe, replace(config, num_hidden_layers=n), *given) for n in (FEW, MORE)
    )
    left = (config.num_hidden_layers - FEW) / (MORE - FEW)
    return Rehearsed(
        round(few.parameters + left * (more.parameters - few.parameters)),
        few.standing + left * (more.standing - few.standing),
        few.peak + left * (more.peak - few.peak),
        few.blocks + more.blocks,
    )


def _rehearse(
    recipe: Recipe, config: ModelConfig, ranks: int, dtype: torch.dtype, device: str
) -> Rehearsed:
    with _nobody(ranks) as mesh, _chunks_of(device), FakeTensorMode(), Live() as live:
        model = Llama(config)
        model.model.recompute = recipe.recompute
        if recipe.lora.rank:
            lora.adapt(model, recipe.lora, torch.Generator())
        if recipe.shard and mesh:
            parallel.shard(model, mesh)
        optimizers = optimizer.build(model, recipe.optimizer)
        average = [p.detach().clone() for p in model.parameters()] if recipe.ema else []
        shape = (recipe.micro_batch, recipe.shape.context)
        parts = min(2, max(1, recipe.batch // (ranks * recipe.micro_batch)))
        for count in (1, parts):  # the first step makes the optimizers' state
            live.most = live.now
            for _ in range(count):
                ids = torch.zeros(shape, dtype=torch.long)
                with torch.autocast("cpu", dtype, dtype != torch.float32, cache_enabled=False):
                    loss = losses(model, ids, ids, torch.ones(shape), recipe.objective.z_loss)
                loss[0].backward()  # type: ignore[no-untyped-call]
                del ids, loss
            parallel.sum_gradients(model, World(0, ranks))
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip or 1e9)
            for each in optimizers:
                each.step()
                each.zero_grad(set_to_none=True)
            standing = live.now
        held = sum(parallel.local(p).numel() for p in model.parameters())
        del average
        blocks = (config.num_hidden_layers,)
        return Rehearsed(held, float(standing), float(live.most), blocks)


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._held: dict[int, tuple[int, Any]] = {}
        self._mode: Any = None
        self._resize = torch.UntypedStorage.resize_

    def __enter__(self) -> Live:
        self._mode = active_fake_mode()
        resize, noted = self._resize, self._noted

        def resized(storage: torch.UntypedStorage, size: int) -> None:
            resize(storage, size)
            if storage._cdata in self._held:
                noted(storage)

        # FSDP frees what it gathered by resizing, of which a dispatch mode is not told.
        torch.UntypedStorage.resize_ = resized  # type: ignore[method-assign, assignment]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *given: Any) -> None:
        super().__exit__(*given)  # type: ignore[no-untyped-call]
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from torch.distributed.tensor import DTensor

        if DTensor in types:  # its own operations on the parts come next
            return NotImplemented
        if func is torch.ops._c10d_functional.wait_tensor.default:
            return args[0]
        made = func(*args, **(kwargs or {}))
        if active_fake_mode() is self._mode:  # else DTensor only asks for shapes
            if func is torch.ops.aten.logsumexp.default:  # its exponentials, which no fake has
                most = self.now + args[0].numel() * args[0].element_size()
                self.most = max(self.most, most)
            tree_map_only(Tensor, lambda tensor: self._noted(tensor.untyped_storage()), made)
        return made

    def _noted(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        before, reference = self._held.get(key, (0, None))
        if reference is None:
            reference = weakref.ref(storage, lambda _: self._forget(key))
        self._held[key] = (size, reference)
        self.now += size - before
        self.most = max(self.most, self.now)

    def _forget(self, key: int) -> None:
        self.now -= self._held.pop(key)[0]


@contextmanager
def _nobody(ranks: int) -> Iterator[DeviceMesh | None]:
    """A process group of which this is rank 0 and that talks to nobody."""
    if ranks == 1:
        yield None
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise UserError("a dry run needs a process of its own")
    dist.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
    try:
        yield parallel.mesh_of_all()
    finally:
        dist.destroy_process_group()


@contextmanager
def _chunks_of(device: str) -> Iterator[None]:
    """Logits are taken in a device's chunks, although the tensors are a CPU's."""
    before = head.CHUNK_BYTES["cpu"]
    head.CHUNK_BYTES["cpu"] = head.CHUNK_BYTES.get(device, head.CHUNK_BYTES["cuda"])
    try:
        yield
    finally:
        head.CHUNK_BYTES["cpu"] = before
