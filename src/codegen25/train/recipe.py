"""A training run as a typed value, read from TOML. The file is the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codegen25 import settings
from codegen25.errors import UserError
from codegen25.infill import Corruption
from codegen25.model import ModelConfig
from codegen25.train.optimizer import OptimizerConfig
from codegen25.train.schedule import Schedule


@dataclass(frozen=True)
class Shape:
    """The model's size; what is left at 0 is derived from `hidden`.

    heads of 64 channels, a feed-forward of 8/3 · hidden rounded up to 64 (SwiGLU's parity with
    4 · hidden), key/value heads as many as heads.
    """

    layers: int = 4
    hidden: int = 256
    heads: int = 0
    kv_heads: int = 0
    feed_forward: int = 0
    context: int = 1024
    tied: bool = True

    def __post_init__(self) -> None:
        if min(self.layers, self.hidden) < 1 or self.context < 16:
            raise UserError("shape: layers and hidden are at least 1, context at least 16")
        if min(self.heads, self.kv_heads, self.feed_forward) < 0:
            raise UserError("shape: heads, kv_heads and feed_forward are at least 0 (derived)")

    def config(self, vocab_size: int) -> ModelConfig:
        """The LLaMA of this shape over a vocabulary."""
        heads = self.heads or max(1, self.hidden // 64)
        kv_heads = self.kv_heads or heads
        if self.hidden % heads or heads % kv_heads or (self.hidden // heads) % 2:
            raise UserError(
                f"shape: hidden {self.hidden}, heads {heads}, kv_heads {kv_heads}: heads divide "
                "hidden into an even number of channels, and kv_heads divides heads"
            )
        return ModelConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden,
            intermediate_size=self.feed_forward or -(-self.hidden * 8 // 3 // 64) * 64,
            num_hidden_layers=self.layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=self.hidden // heads,
            max_position_embeddings=self.context,
            tie_word_embeddings=self.tied,
        )


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    corpus, tokenizer  a folder written by `codegen25 data`, a `tokenizer.json`.
    init               a model directory whose weights to start from; its shape and tokenizer must
                       be the recipe's. Empty: random weights.
    epochs             passes over the corpus; may be a fraction.
    stop_after         steps after which to stop although the schedule has more to come; 0: never.
    batch              rows of `shape.context` tokens in a step, in chunks of `micro_batch`.
    window             ids of context that a corrupted piece of a document has at most; 0: a row.
                       Short windows hold more holes a row, each with little around it.
    answer_weight      of the loss of a token in an answer, beside 1 for the text around it. A model
                       with little compute learns more of infilling from each hole; the loss that is
                       reported stays unweighted.
    order              "identical" in every epoch, as CodeGen2.5 did, or "reshuffled".
    dtype              of the matrix products: "float32", "bfloat16", or "auto", which measures
                       whether bfloat16 is faster on this machine.
    save_dtype         of the weights in the checkpoint (the optimizer keeps float32).
    save_minutes       between checkpoints.
    """

    corpus: str
    tokenizer: str
    name: str = "model"
    init: str = ""
    epochs: float = 1.0
    batch: int = 16
    micro_batch: int = 16
    window: int = 0
    answer_weight: float = 1.0
    order: str = "reshuffled"
    stop_after: int = 0
    seed: int = 0
    dtype: str = "auto"
    save_dtype: str = "float32"
    save_minutes: float = 10.0
    device: str = "auto"
    compile: bool = False
    shape: Shape = field(default_factory=Shape)
    corruption: Corruption = field(default_factory=Corruption)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batch < 1 or self.batch % self.micro_batch:
            raise UserError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        if self.window and not 16 <= self.window <= self.shape.context:
            raise UserError(f"window is {self.window}; it is 0 or 16 to {self.shape.context}")
        if not 0 < self.epochs < 1e9:
            raise UserError(f"epochs is {self.epochs}; it is above 0 and finite")
        if not 0 < self.answer_weight < 1e6:
            raise UserError(f"answer_weight is {self.answer_weight}; it is above 0 and finite")
        if self.seed < 0 or self.stop_after < 0 or not self.save_minutes > 0:
            raise UserError("seed and stop_after are at least 0, save_minutes is above 0")
        choices = {
            "order": ("identical", "reshuffled"),
            "dtype": ("auto", "float32", "bfloat16"),
            "save_dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} is {getattr(self, name)!r}; it is {' or '.join(allowed)}")


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe; `overrides` as of `settings.load`."""
    return settings.load(Recipe, path, overrides)
