from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25 import checkpoint
from codegen25.sample import torch_runner
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Priority, Request
from codegen25.sample.torch_runner import Part, TorchRunner, Window


def engine(random_dir: Path, rows: int = 0, cache_mb: int = 0) -> Engine:
    loaded = checkpoint.load(random_dir)
    runner = TorchRunner(loaded.model, rows)
    return Engine(runner, loaded.tokenizer, loaded.form, random_dir, cache_mb)


def test_the_memory_is_that_of_the_bound(random_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = TorchRunner(checkpoint.load(random_dir).model)
    assert not hasattr(runner, "slots")  # nothing is taken before somebody says how much
    row = runner.bytes_of(1)
    assert runner.rows == torch_runner.ROWS and runner.most_bytes == torch_runner.ROWS * row
    for megabytes in (0, 1, 3, 10**6):
        made = engine(random_dir, cache_mb=megabytes)
        assert isinstance(made.runner, TorchRunner)
        bound = made.cache.bound
        assert bound <= (megabytes * 1_000_000 or runner.most_bytes)
        assert made.runner.slots.store.nbytes == (made.runner.rows + 1) * row <= bound + row
        assert made.runner.rows == bound // row
        assert made.answer(made.prompt("x", "", max_tokens=4, layout="causal"), 4, Sampling())


def test_rows_together_from_the_first_on_say_the_same(
    random_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for few in (1, 4, 99):
        monkeypatch.setattr(torch_runner, "FEW", few)
        made = engine(random_dir, rows=4)
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


def test_who_gave_way_holds_no_row(random_dir: Path) -> None:
    made = engine(random_dir, rows=2)

    def asked(key: str, priority: Priority) -> Request:
        prompt = made.prompt(f"{key} = " * 20, key, max_tokens=40)
        return Request(prompt, 40, Sampling(1.0), key, priority=priority, draft=False)

    batch = [made.submit(asked(f"b{i}", Priority.BATCH)) for i in range(2)]
    for _ in range(3):
        made.advance()
    typed = [made.submit(asked(f"t{i}", Priority.TYPING)) for i in range(2)]
    assert all(made.wait(handle).tokens for handle in (*typed, *batch))


@given(
    st.lists(st.tuples(st.integers(0, 32), st.integers(0, 2046)), min_size=1, max_size=33),
    st.sampled_from([33, 40]),
)
def test_a_window_holds_all_and_comes_in_few_shapes(
    places: list[tuple[int, int]], rows: int
) -> None:
    window = Window.around([Part(row, at, 1, [0]) for row, at in places], rows, 2048)
    assert all(window.first <= row < window.end and at < window.columns for row, at in places)
    assert window.end <= rows and window.columns <= 2048
    assert window.columns == 2048 or window.columns.bit_count() == 1
    size = window.end - window.first
    assert size.bit_count() == 1 or window.end == rows
    if len({row for row, _ in places}) == 1:
        assert size == 1


def test_a_new_row_is_the_lowest_that_is_free(random_dir: Path) -> None:
    runner = engine(random_dir, rows=4).runner
    held = [runner.allocate(1) for _ in range(4)]
    del held[3], held[1]
    assert runner.allocate(1).row == 1  # type: ignore[attr-defined]
