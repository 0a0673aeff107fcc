"""A model whose blocks say something: an untrained one's write zeros to the stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen25.bench import shapes
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Shape


@pytest.fixture(scope="session")
def random_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """Two blocks of four heads, random weights."""
    out = tmp_path_factory.mktemp("models") / "random"
    shape = Shape(layers=2, hidden=64, heads=4, context=256)
    shapes.write(out, shape.config(tokenizer.vocab_size), tokenizer=tokenizer)
    return out
