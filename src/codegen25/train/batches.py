"""The rows of a step as tensors, and composing those of the next steps while one computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer
from codegen25.train.objective import IGNORE
from codegen25.train.pairs import PairRows
from codegen25.train.recipe import Recipe
from codegen25.train.rows import Rows, sample_at


@dataclass(frozen=True)
class Batch:
    """Rows of a step: (rows, context) each; `documents` as of `Llama.hidden`; bytes of source."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor | None
    source_bytes: int

    def parts(self, rows: int, device: str) -> Iterator[list[Tensor]]:
        """Inputs, targets, weights and documents, if any, of a few rows at a time."""
        given = [self.inputs, self.targets, self.weights]
        given += [self.documents] if self.documents is not None else []
        for i in range(0, len(self.inputs), rows):
            yield [each[i : i + rows].to(device, non_blocking=True) for each in given]

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU copies from by itself (the name is torch's)."""
        return Batch(
            self.inputs.pin_memory(),
            self.targets.pin_memory(),
            self.weights.pin_memory(),
            self.documents.pin_memory() if self.documents is not None else None,
            self.source_bytes,
        )


def rows_of(recipe: Recipe, shard: TextShard, tokenizer: Tokenizer) -> Rows:
    """The corpus' text as a recipe trains on it."""
    return Rows(
        shard, tokenizer, recipe.shape.context, recipe.corruption, recipe.seed, recipe.window,
        recipe.objective, recipe.share,
    )  # fmt: skip


def compose(rows: Rows | PairRows, recipe: Recipe, first: int, count: int) -> Batch:
    """Samples `first` to `first + count` of a run: a function of its arguments."""
    made, documents, size = [], [], 0
    for position in range(first, first + count):
        epoch, row = sample_at(position, len(rows), recipe.seed, recipe.order)
        made.append(rows.arrays(row, epoch))
        if isinstance(rows, PairRows):
            documents.append(rows.documents(row))
        size += rows.bytes(row)
    inputs, targets, answers = (
        torch.from_numpy(np.stack(each)) for each in zip(*made, strict=True)
    )
    weights = torch.where(answers, recipe.objective.answer_weight, 1.0) * (targets != IGNORE)
    within = torch.from_numpy(np.stack(documents)) if documents else None
    return Batch(inputs, targets, weights, within, size)


class _Steps(Dataset[Batch | UserError]):
    """The batches of a run by step; faults as values: raised, a worker's come as tracebacks."""

    def __init__(self, compose: Callable[[int], Batch], end: int) -> None:
        self._compose, self._end = compose, end

    def __len__(self) -> int:
        return self._end

    def __getitem__(self, step: int) -> Batch | UserError:
        try:
            return self._compose(step)
        except UserError as error:
            return error


class Ahead:
    """Batches by step, the next ones composed meanwhile by `workers` processes.

    Batches are a function of the step, so that nothing of this is state: a run that goes on
    composes the same ones. A process composes hundreds of thousands of tokens a second, a GPU takes
    a million.
    """

    def __init__(self, compose: Callable[[int], Batch], end: int, workers: int = 1) -> None:
        self._steps, self._end, self._workers = _Steps(compose, end), end, workers
        self._due = -1
        self._coming: Iterator[Batch | UserError] = iter(())

    def __call__(self, step: int) -> Batch:
        """The batch of a step; those after it are under way from then on."""
        if step != self._due:
            self._coming = iter(self._loader(range(step, max(self._end, step + 1))))
        self._due = step + 1
        found = next(self._coming)
        if isinstance(found, UserError):
            raise found
        return found

    def _loader(self, steps: range) -> DataLoader[Batch | UserError]:
        return DataLoader(
            self._steps, batch_size=None, sampler=steps, num_workers=self._workers,
            prefetch_factor=4, pin_memory=torch.cuda.is_available(), collate_fn=_as_it_is,
            multiprocessing_context="fork",  # the corpus' map and tables are there already
            worker_init_fn=_leave_group, generator=torch.Generator(),
        )  # fmt: skip

    def close(self) -> None:
        """Let the processes go, and what they composed."""
        self._due, self._coming = -1, iter(())


def _leave_group(_: int) -> None:
    """A SIGTERM to all of a group lets training save; torch's handler would end the process."""
    os.setpgid(0, 0)


def _as_it_is(batch: Any) -> Any:
    return batch
