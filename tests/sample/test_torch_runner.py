from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from codegen25 import checkpoint
from codegen25.model import attend
from codegen25.sample import torch_runner
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Priority, Request
from codegen25.sample.torch_runner import TorchRunner, Window


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


@given(st.integers(1, 33), st.integers(1, 2048))
def test_a_window_holds_all_and_comes_in_few_sizes(rows: int, places: int) -> None:
    window = Window.of(rows, places, Window(33, 2048))
    assert rows <= window.rows <= min(33, 2 * rows) and places <= window.columns <= 2048
    assert window.rows == 33 or window.rows.bit_count() == 1
    assert window.columns <= max(256, 2 * places) and window.columns - places < max(512, places)
    assert window.columns in (256, 512, 1024, 1536, 2048)


def test_a_step_reads_the_rows_in_use_whatever_the_cache_keeps(
    random_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_runner, "FEW", 1)
    made = engine(random_dir, rows=8)
    runner = made.runner
    assert isinstance(runner, TorchRunner)

    def asked(i: int) -> Request:
        prompt = made.prompt(f"{i} = {i * i}\n" * 9, "", max_tokens=12)
        return Request(prompt, 12, Sampling(0.7), f"{i}", draft=False)

    expected = [made.wait(made.submit(asked(i))).text for i in range(8)]  # every row is kept
    assert len(made.cache.slots) > 4
    seen: list[Window] = []
    plain = TorchRunner._window

    def noted(self: TorchRunner, window: Window, view: object) -> object:
        seen.append(window)
        return plain(self, window, view)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchRunner, "_window", noted)
    for i in (5, 2, 7):
        assert made.wait(made.submit(asked(i))).text == expected[i]
    assert {window.rows for window in seen} == {1}
    seen.clear()
    beside = {i: each.text for i, each in made.answer_all([asked(i) for i in (3, 6, 1)])}
    assert [beside[i] for i in range(3)] == [expected[i] for i in (3, 6, 1)]
    assert max(window.rows for window in seen) <= 4
    runner.free.sort()
    held = sorted(keys.row for keys in runner._held.values())
    assert sorted([*runner.free, *held]) == list(range(9))  # no row was lost or doubled


def test_a_new_row_is_the_lowest_that_is_free(random_dir: Path) -> None:
    runner = engine(random_dir, rows=4).runner
    held = [runner.allocate(1) for _ in range(4)]
    del held[3], held[1]
    assert runner.allocate(1).row == 1  # type: ignore[attr-defined]


class Recorded:
    """A CUDA graph that computes again what it was captured with."""

    def __init__(self) -> None:
        self.replays = 0

    def pool(self) -> int:
        return 1

    def replay(self) -> None:
        self.replays += 1


def test_each_size_is_captured_once_and_replayed(
    random_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine(random_dir, rows=8)
    runner = made.runner
    assert isinstance(runner, TorchRunner)
    captured: list[Window] = []

    def capture(window: Window) -> object:
        captured.append(window)
        view = torch_runner._View(runner.slots, window)
        graph = Recorded()

        def replay() -> None:
            made_graph.logits.copy_(runner._window(window, view))

        graph.replay = replay  # type: ignore[method-assign]
        made_graph = torch_runner._Graph(graph, runner._window(window, view).clone(), view)  # type: ignore[arg-type]
        return made_graph

    prompts = ["def f(x):\n    ", "import os\n" * 12]
    asked = [
        Request(made.prompt(text, "\n", max_tokens=9), 9, Sampling(0.6), text, draft=False)
        for text in prompts
    ]
    expected = [made.wait(made.submit(request)).text for request in asked]
    monkeypatch.setattr(runner, "_captured", capture)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    runner.device = "cuda"
    beside = {i: each.text for i, each in made.answer_all(asked)}
    assert [beside[i] for i in range(2)] == expected
    assert len(captured) == len(set(captured)) == len(runner._graphs) > 0
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    runner.end()
    assert not runner._graphs


def test_chunks_attend_as_flash_attention_is_told_to() -> None:
    rng = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 5, 16, generator=rng)
    key, value = (torch.randn(1, 4, 12, 16, generator=rng) for _ in range(2))
    told = functional.scaled_dot_product_attention(query, key, value, causal_lower_right(5, 12))
    torch.testing.assert_close(attend(query, key, value), told)
