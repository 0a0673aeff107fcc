from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.weights import WEIGHTS, Weights


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
