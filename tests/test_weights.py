from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from codegen25 import checkpoint, int8
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.weights import WEIGHTS, Weights
from int8_model import in_int8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_tensor_is_torchs(dtype: torch.dtype, model_dir: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(model_dir)
    checkpoint.save(tmp_path / "m", loaded.model, loaded.tokenizer, dtype=dtype)
    state = checkpoint.load(tmp_path / "m", dtype=torch.float32).model.state_dict()
    weights = Weights(tmp_path / "m", loaded.model.config)
    assert set(weights) == set(loaded.model.config.tensors()) and len(weights) == len(list(weights))
    for name, values in weights.items():
        assert values.dtype == np.float32 and (values == state[name].numpy()).all()
    assert weights.is_bfloat16("model.norm.weight") == (dtype is torch.bfloat16)


def test_what_is_damaged_or_foreign_is_refused(model_dir: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(model_dir)
    config = loaded.model.config
    (tmp_path / WEIGHTS).write_bytes(b"0123456789" * 9)
    with pytest.raises(UserError, match="damaged or truncated"):
        Weights(tmp_path, config)
    whole = (model_dir / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-1000])
    with pytest.raises(UserError, match="damaged or truncated"):
        Weights(tmp_path, config)
    other: Llama = checkpoint.load(model_dir).model
    other.model.norm.weight = torch.nn.Parameter(torch.ones(7))
    tokenizer: Tokenizer = loaded.tokenizer
    checkpoint.save(tmp_path / "m", other, tokenizer)
    with pytest.raises(UserError, match="has shape"):
        Weights(tmp_path / "m", config)


def test_what_is_stored_in_int8_is_near_and_rounded_to_itself_again(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = in_int8(model_dir, tmp_path / "m")
    loaded = checkpoint.load(folder)
    weights = Weights(folder, loaded.model.config)
    state = loaded.model.state_dict()
    for name, values in weights.items():
        assert (values == state[name].numpy()).all()
        assert weights.is_int8(name) == (values.ndim == 2)
        assert (weights.rows(name, slice(1, 3)) == values[1:3]).all()
    narrow = checkpoint.read_tensors(folder, loaded.model.config, "cpu", None)
    assert {tensor.dtype for tensor in narrow.values()} == {torch.bfloat16}
    checkpoint.save(tmp_path / "again", loaded.model, loaded.tokenizer, dtype=torch.int8)
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


@given(arrays(np.float32, (3, 128), elements=st.floats(-4, 4, width=32)))
def test_int8_is_off_by_half_a_step_at_most(matrix: NDArray[np.float32]) -> None:
    codes, scales = int8.rounded(matrix)
    step = np.repeat(scales.astype(np.float32), int8.GROUP, axis=1)
    near = int8.restored(codes, scales)
    assert (np.abs(near - matrix) <= 0.57 * step).all()  # scales have eleven bits
    again, scales_again = int8.rounded(near)
    assert (again == codes).all() and (scales_again == scales).all()


def test_int8_whose_scales_are_of_another_type_is_refused(model_dir: Path, tmp_path: Path) -> None:
    folder = in_int8(model_dir, tmp_path / "m")
    name = "model.layers.0.mlp.up_proj.weight_scale"
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {name: tensors[name].bfloat16()}, folder / WEIGHTS)
    for load in (checkpoint.load, lambda f: Weights(f, Directory.read(f).config)):
        with pytest.raises(UserError, match=f"{name} is stored as BF16"):
            load(folder)
    foreign = {"model.norm.weight_scale": torch.ones(1)}
    save_file(tensors | foreign, folder / WEIGHTS)
    with pytest.raises(UserError, match=r"model\.norm\.weight_scale belongs to no layer"):
        checkpoint.load(folder)


def test_int8_without_its_scales_is_refused(model_dir: Path, tmp_path: Path) -> None:
    folder = in_int8(model_dir, tmp_path / "m")
    name = "model.layers.0.mlp.up_proj.weight_scale"
    tensors = load_file(folder / WEIGHTS)
    save_file({k: v for k, v in tensors.items() if k != name}, folder / WEIGHTS)
    for load in (
        lambda: Weights(folder, Directory.read(folder).config),
        lambda: checkpoint.load(folder),
    ):
        with pytest.raises(UserError, match=name):
            load()
