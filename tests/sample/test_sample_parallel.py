"""A model cut over two processes over gloo says what the whole one says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import torch
from cut_worker import say
from hypothesis import given
from hypothesis import strategies as st

from codegen25 import checkpoint
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample import parallel, torch_load
from codegen25.sample.engine import Engine
from codegen25.sample.runner import Run
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


def test_two_processes_say_what_one_says(grouped_dir: Path, tmp_path: Path) -> None:
    found = cut(grouped_dir, tmp_path / "said.json")
    assert found.pop("name").endswith("cpu, 2 processes")
    runner = torch_load.alone(Directory.read(grouped_dir), "cpu", "float32", 1)
    expected = say(runner, grouped_dir)
    np.testing.assert_allclose(found.pop("logits"), expected.pop("logits"), rtol=1e-3, atol=1e-3)
    assert found == expected
    assert any(found["cached"])  # what a row holds was copied to others


@pytest.mark.slow
def test_rounded_parts_say_almost_the_same(grouped_dir: Path, tmp_path: Path) -> None:
    found = cut(grouped_dir, tmp_path / "said.json", kind="int8")
    assert found["name"].startswith("int8 torch")
    whole = say(torch_load.alone(Directory.read(grouped_dir), "cpu", "int8", 1), grouped_dir)
    near, exact = np.array(found["logits"]), np.array(whole["logits"])
    assert 0 < np.abs(near - exact).mean() < 0.1 * exact.std()


@pytest.mark.slow
def test_a_server_of_two_processes_answers_and_ends(random_dir: Path) -> None:
    """The follower outlives the signal, so that what is under way is finished."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "codegen25", "serve", "--model", str(random_dir), "--port", "0",
            "--weights", "float32",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    url = next(line.split()[-1] for line in process.stderr if "ready in" in line)
    body = {"prompt": "def f(x):\n", "suffix": "\n", "max_tokens": 9, "temperature": 0}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        said = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    directory = Directory.read(random_dir)
    runner = torch_load.alone(directory, "cpu", "float32", 1)
    whole = Engine(runner, directory.tokenizer, directory.form, random_dir)
    assert said == whole.infill("def f(x):\n", "\n", max_tokens=9).text
    process.terminate()
    process.communicate(timeout=60)
    assert not [each for each in psutil.process_iter(["cmdline"])
                if str(random_dir) in (each.info["cmdline"] or [])]  # fmt: skip


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


def test_a_failed_pass_ends_the_process(random_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, left = list[list[int]](), list[Exception]()
    monkeypatch.setattr(parallel, "_send", lambda numbers, group: said.append(numbers))
    monkeypatch.setattr(parallel, "_give_up", left.append)
    monkeypatch.setattr(parallel.atexit, "register", lambda run: None)
    group = parallel.Group(0, 2, "cpu", None)  # type: ignore[arg-type]
    leader = parallel.Leader(checkpoint.load(random_dir).model, group, rows=2)
    leader.take(10**9)
    with pytest.raises(IndexError):
        leader.forward([Run(leader.allocate(1), 0, [10**6])])
    assert [type(error) for error in left] == [IndexError]
    assert [parallel.ORDERS[numbers[0]] for numbers in said] == ["begin", "clear", "compute"]


def test_what_does_not_go_with_several_processes_is_refused(
    run: Callable[..., tuple[int, str, str]], random_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    for option in ("--draft", "--adapter"):
        value = random_dir if option == "--draft" else f"a={random_dir}"
        code, _, err = run("serve", "--model", random_dir, "--port", "0", option, value)
        assert code == 2 and "under torchrun one model" in err
