"""A model cut over two processes over gloo says what the whole one says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cut_worker import say
from hypothesis import given
from hypothesis import strategies as st

from codegen25 import checkpoint
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample import parallel, torch_load
from codegen25.sample.torch_runner import Part


def cut(random_dir: Path, out: Path, *, kind: str = "float32") -> dict[str, Any]:
    worker = Path(__file__).with_name("cut_worker.py")
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(worker), str(random_dir), kind, str(out),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_two_processes_say_what_one_says(random_dir: Path, tmp_path: Path) -> None:
    found = cut(random_dir, tmp_path / "said.json")
    assert found.pop("name").endswith("cpu, 2 processes")
    runner = torch_load.alone(Directory.read(random_dir), "cpu", "float32", 1)
    expected = say(runner, random_dir)
    np.testing.assert_allclose(found.pop("logits"), expected.pop("logits"), rtol=1e-3, atol=1e-3)
    assert found == expected
    assert any(found["cached"])  # what a row holds was copied to others


parts = st.lists(
    st.builds(
        Part,
        st.integers(0, 40),
        st.integers(0, 4096),
        st.integers(0, 9),
        st.lists(st.integers(0, 60_000), min_size=1, max_size=20),
    ),
    max_size=20,
)


@given(parts)
def test_orders_arrive_as_they_were_given(given_: list[Part]) -> None:
    assert parallel.parts(parallel.flat(given_)) == given_


@pytest.mark.parametrize("size", [2, 4])
def test_the_parts_make_the_whole(random_dir: Path, size: int) -> None:
    model = checkpoint.load(random_dir).model
    config = replace(model.config, num_attention_heads=4, num_key_value_heads=4)
    whole = {name: torch.randn(shape) for name, shape in config.tensors().items()}
    own = parallel.share(config, size).tensors()
    for name, tensor in whole.items():
        each = [parallel.part_of(name, tensor, rank, size) for rank in range(size)]
        assert {tuple(part.shape) for part in each} == {own[name]}
        if own[name] != tuple(tensor.shape):
            axis = next(i for i in (0, 1) if own[name][i] != tensor.shape[i])
            assert torch.equal(torch.cat(each, axis), tensor)


def test_heads_that_do_not_divide_are_refused(random_dir: Path) -> None:
    config = checkpoint.load(random_dir).model.config
    with pytest.raises(UserError, match="cannot be cut over 3 processes"):
        parallel.share(replace(config, num_attention_heads=4), 3)


def test_out_of_step_is_said_and_not_gone_on_with(
    random_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[int]] = []
    monkeypatch.setattr(parallel, "_send", lambda numbers, group: said.append(numbers))
    monkeypatch.setattr(parallel.atexit, "register", lambda run: None)
    group = parallel.Group(0, 2, "cpu", None)  # type: ignore[arg-type]
    leader = parallel.Leader(checkpoint.load(random_dir).model, group, rows=2)
    leader.take(10**9)
    with pytest.raises(IndexError):
        leader.compute([Part(0, 0, 1, [10**6])])
    with pytest.raises(RuntimeError, match="out of step since IndexError"):
        leader.compute([Part(0, 0, 1, [1])])
    assert [parallel.ORDERS[numbers[0]] for numbers in said] == ["begin", "compute"]
