from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from eval_helpers import infill_rows, whole_rows

from codegen25 import checkpoint
from codegen25.evaluate.bits import Bits, measure, per_byte
from codegen25.evaluate.tasks import read_row
from codegen25.models import DEFAULT, resolve
from codegen25.sample.engine import Engine, Settings


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings(kind="float32"))


def test_an_untrained_model_knows_nothing(engine: Engine) -> None:
    """Its logits are nearly flat, so every id of the reference costs about log2(vocabulary)."""
    tasks = [read_row(row) for row in infill_rows()]
    expected = math.log2(engine.runner.config.vocab_size)
    for task, each in zip(tasks, measure(engine, tasks, None), strict=True):
        ids = engine.tokenizer.encode(task.canonical_solution)
        assert each.bits == pytest.approx(expected * len(ids), rel=0.05)
        assert each.size == len(task.canonical_solution)


def test_the_bits_are_the_models_own_probabilities(engine: Engine, model_dir: Path) -> None:
    task = read_row(infill_rows()[0])
    [found] = measure(engine, [task], "plain")
    ids = engine.tokenizer.encode(task.canonical_solution)
    prompt = engine.prompt(task.prompt, task.suffix, max_tokens=len(ids), layout="plain")
    model = checkpoint.load(model_dir).model
    bits = 0.0
    for i, token in enumerate(ids):
        row = torch.tensor([[*prompt.ids, *ids[:i]]])
        bits -= float(model(row)[0, -1].log_softmax(-1)[token]) / math.log(2)
    assert found.bits == pytest.approx(bits, rel=1e-4)


def test_where_a_prompt_is_cut_from_its_answer_costs_nothing() -> None:
    """Newline and indentation are one token: split there, the same text must not cost more."""
    engine = Engine.load(resolve(DEFAULT))
    row = whole_rows()[0]
    cut = row | {
        "prompt": row["prompt"].rstrip("\n"),
        "canonical_solution": "\n" + row["canonical_solution"],
    }
    one, other = measure(engine, [read_row(row), read_row(cut)], None)
    assert 0 <= other.bits - one.bits < 6  # the newline itself, which is expected
    prompt, answer = row["prompt"], row["canonical_solution"]
    ids = [*engine.tokenizer.encode(prompt), *engine.tokenizer.encode(answer)]
    logits = torch.from_numpy(engine.logits(ids)).log_softmax(-1)
    start = len(engine.tokenizer.encode(prompt))
    split = -sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids))) / math.log(2)
    assert one.bits < split - 2


def test_bits_per_byte_weigh_bytes() -> None:
    tasks = [read_row(row) for row in infill_rows(2)]
    rates = per_byte(
        tasks, [Bits(tasks[0].task_id, 10, 20, 30), Bits(tasks[1].task_id, 30, 20, 30)]
    )
    assert rates["bits_per_byte"].value == 1 and rates["suffix_gain"].value == 0.5
    assert per_byte(tasks, []) == {}
