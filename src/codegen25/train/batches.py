"""The rows of a step as tensors, and composing those of the next steps while one computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codegen25.data.shards import TextShard
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

    def pinned(self) -> Batch:
        """The same in memory that a GPU copies from by itself."""
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


class Ahead:
    """Batches by step, those of the next `depth` steps composed by a thread meanwhile.

    Batches are a function of the step, so that nothing of this is state: a run that goes on
    composes the same ones.
    """

    def __init__(self, compose: Callable[[int], Batch], end: int, depth: int = 2) -> None:
        self._compose, self._end, self._depth = compose, end, depth
        self._pending: dict[int, Future[Batch]] = {}
        self._thread: ThreadPoolExecutor | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "batches")
        last = max(step, min(step + self._depth, self._end - 1))
        for each in range(step, last + 1):
            if each not in self._pending:
                self._pending[each] = self._thread.submit(self._compose, each)
        batch = self._pending.pop(step).result()
        self._pending = {each: f for each, f in self._pending.items() if each > step}
        return batch

    def close(self) -> None:
        """Let the thread go, and what it composed."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._thread, self._pending = None, {}
