from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codegen25 import checkpoint
from codegen25.bench import shapes
from codegen25.errors import UserError
from codegen25.train.size import parameters
from codegen25.weights import WEIGHTS

SMALL = replace(shapes.SHAPES["1m"], vocab_size=700, hidden_size=32, num_attention_heads=2,
                num_key_value_heads=2, head_dim=16, intermediate_size=64)  # fmt: skip


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_a_shape_has_the_parameters_of_its_name(name: str) -> None:
    assert shapes.named(name).parameters == pytest.approx(parameters(name), rel=0.05)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UserError, match="97m"):
        shapes.named("98m")


@pytest.mark.parametrize("size", [346, 700, 16_384, 51_200])
def test_the_synthetic_vocabulary_has_exactly_so_many_ids(size: int) -> None:
    tokenizer = shapes.synthetic_tokenizer(size)
    assert tokenizer.vocab_size == size
    assert tokenizer.special("<mask_1>") == size - 1
    text = "def f(x):\n    return 'é\x00' + x  # <eom>\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_sizes_that_no_vocabulary_has() -> None:
    for size in (300, 70_000):
        with pytest.raises(UserError, match=str(size)):
            shapes.synthetic_tokenizer(size)


def test_a_written_model_loads_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        shapes.write(tmp_path / name, SMALL, seed=seed, dtype=torch.bfloat16)
    a, b, c = (load_file(tmp_path / name / WEIGHTS) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a)
    assert all(tensor.dtype == torch.bfloat16 for tensor in a.values())
    loaded = checkpoint.load(tmp_path / "a")
    assert loaded.model.config == SMALL and loaded.tokenizer.vocab_size == SMALL.vocab_size


def test_every_tensor_has_values_of_its_own_and_of_the_right_size() -> None:
    weights = shapes.RandomWeights(SMALL, 0)
    down = weights["model.layers.0.mlp.down_proj.weight"]
    assert down.std().item() == pytest.approx(64**-0.5, rel=0.1)
    assert not torch.equal(down, weights["model.layers.1.mlp.down_proj.weight"])
    assert weights["model.norm.weight"].mean().item() == pytest.approx(1.0, abs=0.1)
