from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from codegen25 import checkpoint
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.sample import quantized, torch_load
from codegen25.sample.engine import Engine
from codegen25.sample.load import runner_for
from codegen25.sample.options import Sampling
from codegen25.sample.quantized import DTYPES, QuantizedLinear, rounded

KINDS = sorted(DTYPES)
STEP = {"int8": 1 / 254, "fp8": 1 / 16}
"""Half a step: of a vector's largest value, and of the value itself."""


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
def test_each_value_is_rounded_to_the_nearest(kind: str, seed: int, scale: float) -> None:
    x = scale * torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))
    small, factor = rounded(x, DTYPES[kind])
    error = (small.float() * factor - x).abs()
    whole = x.abs().amax(-1, keepdim=True)
    assert (error <= STEP[kind] * (whole if kind == "int8" else x.abs() + whole / 448) * 1.01).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_of_zeros_stays_one(kind: str) -> None:
    small, factor = rounded(torch.zeros(2, 16), DTYPES[kind])
    assert torch.equal(small.float() * factor, torch.zeros(2, 16))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 16, 17, 33])
def test_a_product_is_that_of_the_rounded(kind: str, rows: int) -> None:
    rng = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(1, rows, 64, generator=rng), torch.randn(48, 64, generator=rng)
    module = QuantizedLinear(48, 64, DTYPES[kind])
    module.weight.data, module.scale.data = rounded(weight, DTYPES[kind])
    small, factor = rounded(x, DTYPES[kind])
    exact = (small.float() * factor) @ (module.weight.float() * module.scale).T
    torch.testing.assert_close(module(x), exact, rtol=1e-2, atol=1e-2)
    assert (module(x) - x @ weight.T).abs().mean() < 0.05 * (x @ weight.T).abs().mean()


def test_what_a_row_gives_does_not_depend_on_the_others() -> None:
    module = QuantizedLinear(32, 32, torch.int8)
    module.weight.data, module.scale.data = rounded(torch.randn(32, 32), torch.int8)
    x = torch.randn(40, 32)
    assert torch.equal(torch.cat([module(row[None]) for row in x]), module(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_says_almost_the_same(random_dir: Path, kind: str) -> None:
    directory = Directory.read(random_dir)
    runner = torch_load.alone(directory, "cpu", kind, 0)
    blocks = [m for m in runner.model.modules() if isinstance(m, QuantizedLinear)]
    assert len(blocks) == 4 * directory.config.num_hidden_layers  # joined: q|k|v, o, gate|up, down
    assert runner.kind == kind and runner.name.startswith(kind)
    assert not any(isinstance(m, nn.Linear) for m in runner.model.model.layers.modules())
    exact = checkpoint.load(random_dir).model
    ids = torch.arange(2, 60)[None]
    near, whole = runner.model(ids).log_softmax(-1), exact(ids).log_softmax(-1)
    assert (near - whole).abs().mean() < (0.05 if kind == "int8" else 0.2)
    assert not torch.equal(near, whole)
    made = Engine(runner, directory.tokenizer, directory.form, random_dir)
    assert made.answer(made.prompt("def f(", "", max_tokens=8), 8, Sampling()).tokens


def test_shapes_that_the_products_cannot_take_are_refused(random_dir: Path) -> None:
    config = checkpoint.load(random_dir).model.config
    from dataclasses import replace

    odd = checkpoint.empty_model(replace(config, intermediate_size=40))
    with pytest.raises(UserError, match=r"gate_proj has the shape 40 x .* multiples of 16"):
        quantized.prepare(odd, "int8")


def test_kinds_where_they_do_not_belong(random_dir: Path) -> None:
    directory = Directory.read(random_dir)
    with pytest.raises(UserError, match="fp8 weights are for GPUs"):
        runner_for(directory, "cpu", "fp8", 0)
    with pytest.raises(UserError, match="int4 weights are for our kernels"):
        runner_for(directory, "cuda", "int4", 0)
