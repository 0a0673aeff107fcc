from __future__ import annotations

from pathlib import Path

import pytest

from codegen25 import checkpoint
from codegen25.sample import torch_runner
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Priority, Request
from codegen25.sample.torch_runner import TorchRunner


def engine(model_dir: Path, rows: int = 0, cache_mb: int = 0) -> Engine:
    loaded = checkpoint.load(model_dir)
    runner = TorchRunner(loaded.model, rows)
    return Engine(runner, loaded.tokenizer, loaded.form, model_dir, cache_mb)


def test_the_memory_is_that_of_the_bound(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = TorchRunner(checkpoint.load(model_dir).model)
    assert not hasattr(runner, "slots")  # nothing is taken before somebody says how much
    row = runner.bytes_of(1)
    assert runner.rows == torch_runner.ROWS and runner.most_bytes == torch_runner.ROWS * row
    for megabytes in (0, 1, 3, 10**6):
        made = engine(model_dir, cache_mb=megabytes)
        assert isinstance(made.runner, TorchRunner)
        bound = made.cache.bound
        assert bound <= (megabytes * 1_000_000 or runner.most_bytes)
        assert made.runner.slots.store.nbytes == (made.runner.rows + 1) * row <= bound + row
        assert made.runner.rows == bound // row
        assert made.answer(made.prompt("x", "", max_tokens=4, layout="causal"), 4, Sampling())


def test_rows_together_from_the_first_on_say_the_same(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for few in (1, 4, 99):
        monkeypatch.setattr(torch_runner, "FEW", few)
        made = engine(model_dir, rows=4)
        prompts = [("def f(x):\n    ", "\n"), ("import os\n" * 12, "x = 1\n"), ("y", "")]
        asked = [
            Request(made.prompt(*prompts[i], max_tokens=24), 24, Sampling(t), f"{i}{t}")
            for i in range(3)
            for t in (0.0, 1.0)
        ]
        alone = [made.wait(made.submit(request)).text for request in asked]
        beside = {i: each.text for i, each in made.answer_all(asked)}
        assert [beside[i] for i in range(6)] == alone
        found.append(alone)
    assert found[0] == found[1] == found[2]


def test_who_gave_way_holds_no_row(model_dir: Path) -> None:
    made = engine(model_dir, rows=2)

    def asked(key: str, priority: Priority) -> Request:
        prompt = made.prompt(f"{key} = " * 20, key, max_tokens=40)
        return Request(prompt, 40, Sampling(1.0), key, priority=priority, draft=False)

    batch = [made.submit(asked(f"b{i}", Priority.BATCH)) for i in range(2)]
    for _ in range(3):
        made.advance()
    typed = [made.submit(asked(f"t{i}", Priority.TYPING)) for i in range(2)]
    assert all(made.wait(handle).tokens for handle in (*typed, *batch))
