"""Matrices dealt over the ranks: each rank works on whole ones, a part of them.

What Muon does to a matrix needs all of it, and would cost a rank of many more than its share of the
batch if every rank did it to every matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from codegen25.train.parallel import is_sharded, local

AT_ONCE = 1 << 29
"""Bytes of whole matrices that a rank works on at a time."""

Work = Callable[[Tensor], Tensor]
"""Makes of a batch of matrices (n, rows, columns) one of the same shape."""


def at_once(matrix: Tensor, size: int) -> int:
    """How many matrices like one `size` ranks take at a time."""
    return size * max(1, AT_ONCE // (matrix.numel() * matrix.element_size()))


def deal(work: Work, matrices: Sequence[Tensor]) -> list[Tensor]:
    """`work` of matrices of one shape that every rank names in the same order.

    Of sharded matrices the rank's own rows come back, of others the whole.
    """
    size = dist.get_world_size() if dist.is_initialized() else 1
    step = at_once(matrices[0], size)
    made: list[Tensor] = []
    for first in range(0, len(matrices), step):
        some = matrices[first : first + step]
        if size == 1:
            made += work(torch.stack(list(some)))
        elif is_sharded(some[0]):
            made += _sharded(work, some, size)
        else:
            made += _replicated(work, some, size)
    return made


def _replicated(work: Work, matrices: Sequence[Tensor], size: int) -> list[Tensor]:
    each = -(-len(matrices) // size)
    mine = matrices[dist.get_rank() * each : (dist.get_rank() + 1) * each]
    part = matrices[0].new_zeros(each, *matrices[0].shape)
    if mine:
        part[: len(mine)] = work(torch.stack(list(mine)))
    made = part.new_empty(size * each, *part.shape[1:])
    dist.all_gather_into_tensor(made, part)
    return list(made[: len(matrices)])


def _sharded(work: Work, matrices: Sequence[Tensor], size: int) -> list[Tensor]:
    rows, columns = matrices[0].shape
    each, height = -(-len(matrices) // size), -(-rows // size)
    parts = [local(matrix) for matrix in matrices]
    own = len(parts[0])  # the last ranks may have fewer rows, or none
    sent = parts[0].new_zeros(size * each, height, columns)
    for place, part in zip(sent, parts, strict=False):
        place[:own] = part
    slices = torch.empty_like(sent)  # (source rank, matrix of mine) rows
    dist.all_to_all_single(slices, sent)
    slices = slices.view(size, each, height, columns).transpose(0, 1)
    whole = slices.reshape(each, size * height, columns)[:, :rows]
    made = sent.new_zeros(each, size * height, columns)
    made[:, :rows] = work(whole)
    sent = made.view(each, size, height, columns).transpose(0, 1).contiguous()
    dist.all_to_all_single(back := torch.empty_like(sent), sent)
    return list(back.flatten(0, 1)[: len(matrices), :own])
