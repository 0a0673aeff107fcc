"""A model stored in 8 bits, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from codegen25 import checkpoint
from codegen25.config import ModelConfig
from codegen25.model import Llama, initialize


def in_int8(model_dir: Path, out: Path) -> Path:
    """A model's weights in 8 bits, of a shape whose rows are whole groups."""
    tokenizer = checkpoint.load(model_dir).tokenizer
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, max_position_embeddings=256,
    )  # fmt: skip
    model = Llama(config)
    initialize(model, torch.Generator().manual_seed(0))
    checkpoint.save(out, model, tokenizer, dtype=torch.int8)
    return out
