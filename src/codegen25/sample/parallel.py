"""A model cut over several processes, as `torchrun` starts them, for what one card can't hold.

Every process holds its share of the heads and of the feed-forward channels of each block (Megatron,
arXiv 1909.08053), and their keys and values. The first one has the engine: it says what to do, all
do it, and the blocks' outputs are summed. The others follow until the first has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.sample.runner import Run
from codegen25.sample.torch_runner import Part, TorchRunner

SOON = 1024
"""Numbers of a message's first part; few messages have a second."""
FOREVER = timedelta(days=3650)
"""The others wait for the first as long as nobody asks it anything."""


@dataclass(frozen=True)
class Group:
    """This process, `rank` of `size`; orders go through `orders`, sums through the default."""

    rank: int
    size: int
    device: str
    orders: dist.ProcessGroup

    def least(self, number: int) -> int:
        """The least of what the processes have."""
        found = torch.tensor(number)
        dist.all_reduce(found, dist.ReduceOp.MIN, self.orders)
        return int(found)


def join(device: str) -> Group:
    """Meet the others; each takes the card of its number."""
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} has no card: the machine has {torch.cuda.device_count()}; "
                "start as many processes as cards"
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    orders = dist.new_group(backend="gloo", timeout=FOREVER)
    return Group(dist.get_rank(), dist.get_world_size(), device, orders)


# ------------------------------------------------------------------------------------ weights


def share(config: ModelConfig, size: int) -> ModelConfig:
    """The shape of one process's model; a UserError where it does not divide."""
    for count, what in (
        (config.num_attention_heads, "heads"),
        (config.num_key_value_heads, "key/value heads"),
        (config.intermediate_size, "feed-forward channels"),
    ):
        if count % size:
            raise UserError(
                f"{count} {what} cannot be cut over {size} processes; start a number that divides"
            )
    return replace(
        config,
        num_attention_heads=config.num_attention_heads // size,
        num_key_value_heads=config.num_key_value_heads // size,
        intermediate_size=config.intermediate_size // size,
    )


def part_of(name: str, tensor: Tensor, rank: int, size: int) -> Tensor:
    """A process's part of a tensor: rows of what a block reads with, columns of what it writes
    with, and all of the rest."""
    if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight",
                      "up_proj.weight")):  # fmt: skip
        return tensor.chunk(size, 0)[rank].clone()
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        return tensor.chunk(size, 1)[rank].clone()
    return tensor


class Summed(nn.Module):
    """What a matrix makes, summed over the processes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        dist.all_reduce(out)
        return out


def connect(model: Llama) -> None:
    """Sum what each block writes to the stream."""
    for layer in model.model.layers:
        for block, last in ((layer.self_attn, "o_proj"), (layer.mlp, "down_proj")):
            assert isinstance(block, nn.Module)
            setattr(block, last, Summed(block.get_submodule(last)))


# ------------------------------------------------------------------------------------- orders


class Leader(TorchRunner):
    """The first process's runner: the others do what it does.

    What fails in one process leaves the others in the midst of a sum, so the process then ends, and
    `torchrun` the others.
    """

    def __init__(self, model: Llama, group: Group, rows: int, kind: str = "") -> None:
        super().__init__(model, rows, kind)
        self._group = group
        atexit.register(self._end)

    @property
    def name(self) -> str:
        return f"{super().name}, {self._group.size} processes"

    def begin(self, rows: int) -> None:
        self._say("begin", rows)
        super().begin(rows)

    def clear(self, row: int) -> None:
        self._say("clear", row)
        super().clear(row)

    def copy(self, row: int, source: int, length: int) -> None:
        self._say("copy", row, source, length)
        super().copy(row, source, length)

    def swap(self, row: int, other: int) -> None:
        self._say("swap", row, other)
        super().swap(row, other)

    def compute(self, parts: Sequence[Part], step: bool) -> Tensor:
        self._say("compute", int(step), *flat(parts))
        return super().compute(parts, step)

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        try:
            return super().forward(runs)
        except Exception as error:
            _give_up(error)
            raise

    def _say(self, order: str, *numbers: int) -> None:
        _send([ORDERS.index(order), *numbers], self._group)

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):  # they may be gone already
            self._say("end")
            self.end()
            dist.destroy_process_group()


def _give_up(error: Exception) -> None:
    print(f"codegen25: a model cut over processes failed: {error!r}", file=sys.stderr, flush=True)
    os._exit(1)


def follow(runner: TorchRunner, group: Group) -> None:
    """Do what the first process says until it ends; signals to end are for that one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    does: dict[str, Callable[..., object]] = {
        "begin": runner.begin,
        "clear": runner.clear,
        "copy": runner.copy,
        "swap": runner.swap,
        "compute": lambda step, *numbers: runner.compute(parts(numbers), bool(step)),
    }
    while (said := _received(group))[0] != ORDERS.index("end"):
        does[ORDERS[said[0]]](*said[1:])
    runner.end()
    dist.destroy_process_group()


ORDERS = ("begin", "clear", "copy", "swap", "compute", "end")


def flat(parts: Sequence[Part]) -> list[int]:
    """Parts as numbers: each one's row, start, wanted, count of ids, and ids."""
    return [
        number
        for part in parts
        for number in (part.row, part.start, part.wanted, len(part.ids), *part.ids)
    ]


def parts(numbers: Sequence[int]) -> list[Part]:
    """The parts of `flat`."""
    found, left = [], iter(numbers)
    for row in left:
        start, wanted, count = islice(left, 3)
        found.append(Part(row, start, wanted, list(islice(left, count))))
    return found


def _send(numbers: list[int], group: Group) -> None:
    message = torch.tensor([len(numbers), *numbers])
    message = torch.cat([message, message.new_zeros(max(0, SOON - len(message)))])
    dist.broadcast(message[:SOON].contiguous(), 0, group.orders)
    if len(message) > SOON:
        dist.broadcast(message[SOON:].contiguous(), 0, group.orders)


def _received(group: Group) -> list[int]:
    message = torch.empty(SOON, dtype=torch.long)
    dist.broadcast(message, 0, group.orders)
    count = 1 + int(message[0])
    if count > SOON:
        rest = torch.empty(count - SOON, dtype=torch.long)
        dist.broadcast(rest, 0, group.orders)
        message = torch.cat([message, rest])
    return message[1:count].tolist()
