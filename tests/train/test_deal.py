"""Matrices dealt over ranks come back as one process would have made them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from codegen25.train import deal as dealing
from codegen25.train.deal import at_once, deal

SHAPES = ((7, 3), (5, 4), (2, 6), (1, 3))
"""Rows that two and three ranks share unequally, and fewer rows than ranks."""


def work(batch: Tensor) -> Tensor:
    """Something that needs whole matrices."""
    return batch @ (batch.mT @ batch)


def matrices(shape: tuple[int, int], count: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=rng) for _ in range(count)]


def rank(number: int, size: int, port: int, folder: str) -> None:
    """What each of the processes does: every shape, replicated and sharded."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=number, world_size=size)
    mesh = init_device_mesh("cpu", (size,))
    for shape in SHAPES:
        for count in (1, 2, 5):
            given = matrices(shape, count)
            wanted = work(torch.stack(given))
            for made, expected in zip(deal(work, given), wanted, strict=True):
                torch.testing.assert_close(made, expected)
            cut = [distribute_tensor(each, mesh, [Shard(0)]) for each in given]
            for made, expected in zip(deal(work, cut), wanted, strict=True):
                mine = distribute_tensor(expected, mesh, [Shard(0)]).to_local()
                torch.testing.assert_close(made, mine)
    (Path(folder) / str(number)).touch()
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_each_rank_has_what_one_process_makes(size: int, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    torch.multiprocessing.spawn(rank, (size, port, str(tmp_path)), nprocs=size)
    assert len(list(tmp_path.iterdir())) == size


def test_alone_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrices((4, 3), 5)
    monkeypatch.setattr(dealing, "AT_ONCE", 2 * given[0].numel() * 4)
    assert at_once(given[0], 1) == 2 and at_once(given[0], 3) == 6
    sizes: list[int] = []

    def noting(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return work(batch)

    for made, expected in zip(deal(noting, given), work(torch.stack(given)), strict=True):
        torch.testing.assert_close(made, expected)
    assert sizes == [2, 2, 1]
