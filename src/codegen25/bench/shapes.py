"""Models of set shapes with random weights: speed depends on the shape, not on what was learnt.

torch is imported where weights are drawn; who measures memory reads the shapes alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.sample.native.library import Packed, empty
from codegen25.sample.native.runner import NativeRunner
from codegen25.tokenizer import Tokenizer
from codegen25.vocabulary import special_tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CONTEXT = 4096


def _shape(
    layers: int, hidden: int, feed_forward: int, vocabulary: int = 16_384, *, tied: bool = True
) -> ModelConfig:
    channels = 64 if hidden < 2048 else 128
    return ModelConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=hidden // channels,
        num_key_value_heads=hidden // channels,
        head_dim=channels,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
    )


SHAPES = {
    "1m": _shape(2, 128, 384, 4096),
    "30m": _shape(7, 512, 1408),
    "97m": _shape(12, 768, 2048),
    "350m": _shape(26, 1024, 2816),
    "7b": _shape(32, 4096, 11_008, 51_200, tied=False),
}
"""Named by their parameters; "7b" is CodeGen2.5's, whose context of 2,048 leaves no room to write
after a prompt of 2,000."""


def named(name: str) -> ModelConfig:
    """The shape of a name, a UserError if there is none."""
    if name not in SHAPES:
        raise UserError(f"shape {name!r} is unknown; there are {', '.join(SHAPES)}")
    return SHAPES[name]


def write(
    folder: Path,
    config: ModelConfig,
    *,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
) -> None:
    """Write a model directory of random weights; it replaces `folder` whole.

    Without a `tokenizer` it gets one of as many ids as the shape has; `dtype` None is float32.
    """
    import torch

    from codegen25 import checkpoint

    with checkpoint.replacing(folder) as staging:
        checkpoint.write(
            staging, config, RandomWeights(config, seed),
            tokenizer or synthetic_tokenizer(config.vocab_size), dtype=dtype or torch.float32,
        )  # fmt: skip


class RandomWeights(Mapping[str, "Tensor"]):
    """Tensors by name, each drawn when asked for.

    Normal with the variance 1 / inputs, so that attention and the blocks' outputs are of the order
    of a trained model's and equal logits are rare. Norms are drawn around one.
    """

    def __init__(self, config: ModelConfig, seed: int) -> None:
        self._shapes = config.tensors()
        self._numbers = {name: i for i, name in enumerate(self._shapes)}
        self._seed = seed

    def __getitem__(self, name: str) -> Tensor:
        import torch

        shape = self._shapes[name]
        rng = torch.Generator().manual_seed(self._seed * 1_000_003 + self._numbers[name])
        values = torch.empty(shape).normal_(generator=rng)
        return values * shape[-1] ** -0.5 if len(shape) > 1 else 1 + 0.1 * values

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class Noise(Mapping[str, np.ndarray]):
    """Norms of ones and a bfloat16 embedding: what `NoiseRunner` does not draw itself."""

    def __init__(self, config: ModelConfig) -> None:
        self._shapes = config.tensors()

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self._shapes[name]
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        drawn = np.random.default_rng(0).standard_normal(shape, np.float32)
        bits = drawn.view(np.uint32)
        bits &= 0xFFFF0000
        return drawn

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class NoiseRunner(NativeRunner):
    """A model of any size whose matrices are random bytes, drawn where they lie: nothing is
    written, converted or held twice."""

    def __init__(self, config: ModelConfig, kind: str, threads: int = 0) -> None:
        super().__init__(config, Noise(config), kind, threads)

    def packed(self, weights: Mapping[str, np.ndarray], *names: str) -> Packed:
        """Integers of all values alike, scaled to the variance 1 / inputs."""
        shapes = [self.config.tensors()[name] for name in names]
        columns, most = shapes[0][1], 1 << (8 if self.kind == "int8" else 4)
        made = empty(sum(rows for rows, _ in shapes), columns, self.kind)
        rng = np.random.default_rng(len(names))
        made.weights[:] = np.frombuffer(rng.bytes(made.weights.nbytes), np.uint8)
        made.scales.fill((12 / columns) ** 0.5 / most)
        return made


def synthetic_tokenizer(vocab_size: int) -> Tokenizer:
    """A byte-level BPE of exactly so many ids: bytes, pairs of bytes, our special tokens."""
    specials = special_tokens(64)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = vocab_size - len(specials) - len(alphabet)
    if not 0 <= pairs <= len(alphabet) ** 2:
        raise UserError(f"a synthetic vocabulary has no {vocab_size} ids")
    merges = list(itertools.islice(itertools.product(alphabet, alphabet), pairs))
    vocabulary = {token: i for i, token in enumerate([*alphabet, *(a + b for a, b in merges)])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return Tokenizer(backend)
