"""A training run as a typed value, read from TOML. The file is the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from codegen25 import settings
from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.infill import Corruption
from codegen25.train.lora import LoraConfig
from codegen25.train.objective import Objective
from codegen25.train.optimizer import OptimizerConfig
from codegen25.train.schedule import Schedule
from codegen25.train.size import derive, feed_forward, parameters


@dataclass(frozen=True)
class Shape:
    """The model's shape; what is left at 0 is derived, layers and hidden from the recipe's size.

    Heads have 64 channels, 128 from a width of 2,048 on; key/value heads are as many as heads; the
    feed-forward see `size.feed_forward`.
    """

    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv_heads: int = 0
    feed_forward: int = 0
    context: int = 1024
    tied: bool = True

    def __post_init__(self) -> None:
        if self.context < 16:
            raise UserError(f"shape.context is {self.context}; it is at least 16")
        sizes = (self.layers, self.hidden, self.heads, self.kv_heads, self.feed_forward)
        if min(sizes) < 0:
            raise UserError("shape: layers, hidden, heads, kv_heads and feed_forward are above 0")

    def config(self, vocab_size: int) -> ModelConfig:
        """The LLaMA of this shape, whose layers and width are set, over a vocabulary."""
        assert self.layers and self.hidden
        heads = self.heads or max(1, self.hidden // (64 if self.hidden < 2048 else 128))
        kv_heads = self.kv_heads or heads
        if self.hidden % heads or heads % kv_heads or (self.hidden // heads) % 2:
            raise UserError(
                f"shape: hidden {self.hidden}, heads {heads}, kv_heads {kv_heads}: heads divide "
                "hidden into an even number of channels, and kv_heads divides heads"
            )
        return ModelConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden,
            intermediate_size=self.feed_forward or feed_forward(self.hidden),
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
    name               what the run is called in its first line.
    pairs              instead of the corpus' text: instructions and answers from a jsonl file, or,
                       given some of "docstrings, comments, commits", mined from the corpus, see
                       `mining.py`. Only answers carry loss; some are held out, see `pairs.py`.
    init               a model, a directory or a name, whose weights to start from; its tokenizer
                       must be the recipe's, and its shape is taken. A shorter `shape.context` is
                       the length of rows then; the model keeps its own. Empty: random weights.
    size               parameters, say "14m": shape, batch and rates that are not set are derived
                       from it, see `size.derive`.
    epochs             passes over the corpus; may be a fraction.
    share              of the corpus' rows that are trained on, spread evenly over it.
    stop_after         steps after which to stop although the schedule has more to come; 0: never.
    batch              rows of `shape.context` tokens in a step; 0: as the size has it.
    micro_batch        rows that are computed at once; 0: some 4 k tokens on a CPU, 64 k on a GPU.
    window             ids of context that a corrupted piece of a document has at most; 0: a row.
                       Short windows hold more holes a row, each with little around it.
    order              "identical" in every epoch, as CodeGen2.5 did, or "reshuffled".
    seed               of the first weights, the rows' order, and the corruption.
    dtype              of the matrix products: "float32", "bfloat16", or "auto", which measures
                       whether bfloat16 is faster on this machine.
    save_dtype         of the weights in the checkpoint (the optimizer keeps float32).
    save_minutes       between checkpoints.
    keep_last          checkpoints that stay, the newest ones.
    keep_best          and the one with the fewest held-out bits per byte (of pairs: of answers).
    evaluate_every     steps between looks at held-out text; 0: only at the end.
    shard              several processes cut the parameters among them (FSDP2); else each has all.
    recompute          activations are computed again for the gradient instead of being kept.
    tensorboard        write OUT/tensorboard beside log.jsonl.
    ema                decay of an average of the weights, which is then saved as the model; 0: the
                       weights themselves. See `schedule.average_decay`.
    device             "cpu", "cuda", or "auto", a GPU where there is one.
    compile            the step by torch.compile: faster after half a minute or more.
    """

    corpus: str
    tokenizer: str
    name: str = "model"
    pairs: str = ""
    init: str = ""
    epochs: float = 1.0
    share: float = 1.0
    size: str = "4m"
    batch: int = 0
    micro_batch: int = 0
    window: int = 0
    order: str = "reshuffled"
    stop_after: int = 0
    seed: int = 0
    dtype: str = "auto"
    save_dtype: str = "float32"
    save_minutes: float = 10.0
    keep_last: int = 2
    keep_best: bool = False
    evaluate_every: int = 0
    tensorboard: bool = False
    ema: float = 0.0
    device: str = "auto"
    compile: bool = False
    shard: bool = False
    recompute: bool = False
    shape: Shape = field(default_factory=Shape)
    objective: Objective = field(default_factory=Objective)
    corruption: Corruption = field(default_factory=Corruption)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: Schedule = field(default_factory=Schedule)
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        if self.batch < 0 or self.micro_batch < 0:
            raise UserError("batch and micro_batch are at least 0 (derived)")
        if self.batch and self.micro_batch and self.batch % self.micro_batch:
            raise UserError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        parameters(self.size)
        if self.window and not 16 <= self.window <= self.shape.context:
            raise UserError(f"window is {self.window}; it is 0 or 16 to {self.shape.context}")
        if not 0 < self.epochs < 1e9:
            raise UserError(f"epochs is {self.epochs}; it is above 0 and finite")
        if not 0 < self.share <= 1 or (self.pairs and self.share != 1):
            raise UserError(f"share is {self.share}; it is above 0, at most 1, and 1 of pairs")
        if self.seed < 0 or self.stop_after < 0 or not self.save_minutes > 0:
            raise UserError("seed and stop_after are at least 0, save_minutes is above 0")
        if self.keep_last < 1 or self.evaluate_every < 0 or not 0 <= self.ema < 1:
            raise UserError(
                "keep_last is above 0, evaluate_every at least 0, ema from 0 to below 1"
            )
        choices = {
            "order": ("identical", "reshuffled"),
            "dtype": ("auto", "float32", "bfloat16"),
            "save_dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} is {getattr(self, name)!r}; it is {' or '.join(allowed)}")

    def resolved(self, vocab_size: int, device: str) -> Recipe:
        """The recipe with all that was left to its size filled in."""
        shape = self.shape
        derived = derive(self.size, vocab_size, shape.tied)
        shape = replace(
            shape, layers=shape.layers or derived.layers, hidden=shape.hidden or derived.hidden
        )
        batch = self.batch or max(1, derived.batch_tokens // shape.context)
        at_once = max(1, (4096 if device == "cpu" else 65_536) // shape.context)
        micro = self.micro_batch or max(n for n in range(1, at_once + 1) if batch % n == 0)
        if batch % micro:
            raise UserError(f"batch {batch} is no multiple of micro_batch {micro}")
        optimizer = replace(
            self.optimizer,
            muon_lr=self.optimizer.muon_lr or derived.muon_lr,
            adam_lr=self.optimizer.adam_lr or derived.adam_lr,
        )
        return replace(self, shape=shape, batch=batch, micro_batch=micro, optimizer=optimizer)


def find(name: str) -> Path:
    """A recipe's file: a path, or the name of one that comes with the package."""
    shipped = Path(str(files("codegen25"))) / "recipes" / f"{name}.toml"
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file():  # a corpus may stand there by the same name
        if not shipped.exists():
            known = sorted(each.stem for each in shipped.parent.glob("*.toml"))
            raise UserError(f"no recipe {name!r}; give a .toml file or one of {', '.join(known)}")
        return shipped
    return path


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe; `overrides` as of `settings.load`."""
    return settings.load(Recipe, path, overrides)
