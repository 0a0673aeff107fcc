"""Bits per byte of the canonical solutions: what a model thinks of the right answer.

Independent of the tokenizer, and not zero where no sample passes. Of an infill's middle also what
the suffix gains: the bits without it, left to right, minus those with it.

Left to right, an answer's bits are those of prompt and answer together minus those of the prompt:
a newline and the next line's indentation are often one token, so ids of the answer alone would
stand where the model has never seen them (on the shipped model that costs a second bit a byte).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codegen25.evaluate.statistics import Rate, clustered_ratio
from codegen25.evaluate.tasks import Task
from codegen25.sample.engine import Engine


@dataclass(frozen=True)
class Bits:
    """Of one task: the reference's bytes and bits; of an infill the bits without its suffix."""

    task_id: str
    size: int
    bits: float
    without_suffix: float | None = None


def measure(engine: Engine, tasks: Sequence[Task], layout: str | None) -> Iterator[Bits]:
    """The bits of each task whose reference is not empty and fits the model's context."""
    for task in tasks:
        ids = engine.tokenizer.encode(task.canonical_solution)
        if not ids or len(ids) >= engine.context // 2:
            continue
        size = len(task.canonical_solution.encode())
        causal = _continued(engine, task.given, task.canonical_solution)
        if not task.infill:
            yield Bits(task.task_id, size, causal)
        else:
            prompt = engine.prompt(task.given, task.suffix, max_tokens=len(ids), layout=layout)
            with_it = bits_of(engine, [*prompt.ids, *ids], len(prompt.ids))
            yield Bits(task.task_id, size, with_it, causal)


def per_byte(tasks: Sequence[Task], measured: Sequence[Bits]) -> dict[str, Rate]:
    """Bits per byte over all tasks, and of infills the gain of the suffix."""
    problems = {task.task_id: task.problem for task in tasks}
    found = [each for each in measured if each.task_id in problems]
    rows = [(problems[each.task_id], each.bits, each.size) for each in found]
    rates = {"bits_per_byte": clustered_ratio(rows)} if rows else {}
    gains = [
        (problems[each.task_id], each.without_suffix - each.bits, each.size)
        for each in found
        if each.without_suffix is not None
    ]
    return {**rates, "suffix_gain": clustered_ratio(gains)} if gains else rates


def _continued(engine: Engine, before: str, after: str) -> float:
    """Bits of `after` when it follows `before`, left to right."""
    encode, room = engine.tokenizer.encode, engine.context - len(engine.tokenizer.encode(after))
    near = engine.tokenizer.cut(before, room - 1, keep_end=True)
    alone, whole = encode(near), encode(near + after)
    same = 0
    while same < len(alone) and alone[same] == whole[same]:
        same += 1
    return bits_of(engine, whole, same) - bits_of(engine, alone, same)


def bits_of(engine: Engine, ids: list[int], start: int) -> float:
    """Bits of the ids from `start` on; the very first has none before it and counts nothing."""
    start = max(1, start)
    if start >= len(ids):
        return 0.0
    logits = engine.logits(ids[:-1], start - 1).astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    own = logits[np.arange(len(logits)), ids[start:]]
    return float((np.log(np.exp(logits).sum(-1)) - own).sum()) / math.log(2)
