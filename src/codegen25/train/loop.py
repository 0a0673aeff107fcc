"""The training loop: rows in, a checkpoint out. One CPU or one GPU."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codegen25 import __version__, checkpoint, device
from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.infill import Corruption
from codegen25.model import Llama, initialize
from codegen25.tokenizer import Tokenizer
from codegen25.train import optimizer, precision
from codegen25.train.recipe import Recipe
from codegen25.train.rows import IGNORE, Rows, sample_at

STATE, LOG = "trainer.pt", "training.json"


@dataclass(frozen=True)
class Progress:
    """What a finished step reports. Loss is nats per target; `bits_per_byte` of source text."""

    step: int
    steps: int
    epoch: float
    loss: float
    bits_per_byte: float
    tokens_per_second: float
    seconds_left: float


class Trainer:
    """One run of a recipe. `step` counts finished optimizer steps."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.device = device.choose(recipe.device)
        self.dtype = precision.choose(recipe.dtype, self.device)
        self.tokenizer = Tokenizer.load(Path(recipe.tokenizer))
        self.shard = TextShard(Path(recipe.corpus))
        self.shard.verify()
        context = recipe.shape.context
        self.rows = Rows(
            self.shard, self.tokenizer, context, recipe.corruption, recipe.seed, recipe.window
        )
        self.steps = max(1, math.ceil(recipe.epochs * len(self.rows) / recipe.batch))
        self.end = min(self.steps, recipe.stop_after or self.steps)
        self.model = Llama(recipe.shape.config(self.tokenizer.vocab_size))
        initialize(self.model, torch.Generator().manual_seed(recipe.seed))
        if recipe.init:
            self._start_from(Path(recipe.init))
        self.model.to(self.device)
        self.optimizers = optimizer.build(self.model, recipe.optimizer)
        self.loss: Callable[[Tensor, Tensor, Tensor], Tensor] = self._loss
        if recipe.compile:
            _require_compiler(self.device)
            self.loss = torch.compile(self._loss, dynamic=False)
        self.step = 0
        self.seconds = 0.0
        self.tokens = 0
        self.history: list[dict[str, float]] = []

    def _start_from(self, folder: Path) -> None:
        """Take the weights of a checkpoint of the same shape over the same vocabulary.

        The context may differ: no weight depends on it.
        """
        loaded = checkpoint.load(folder)
        if loaded.tokenizer.backend.to_str() != self.tokenizer.backend.to_str():
            raise UserError(f"{folder}: its tokenizer is not {self.recipe.tokenizer}")
        config = self.model.config
        context = config.max_position_embeddings
        if dataclasses.replace(loaded.model.config, max_position_embeddings=context) != config:
            raise UserError(f"{folder}: its shape is not the recipe's: {loaded.model.config}")
        self.model.load_state_dict(loaded.model.state_dict())

    # ------------------------------------------------------------------------------ one step

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """Inputs, targets and weights (batch, context) of a step, and its bytes of source."""
        recipe = self.recipe
        rows, size = [], 0
        for position in range(step * recipe.batch, (step + 1) * recipe.batch):
            epoch, row = sample_at(position, len(self.rows), recipe.seed, recipe.order)
            rows.append(self.rows.arrays(row, epoch))
            size += self.rows.bytes(row)
        inputs, targets, answers = (
            torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True)
        )
        weights = torch.where(answers, recipe.answer_weight, 1.0) * (targets != IGNORE)
        return inputs, targets, weights, size

    def _loss(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Cross-entropy in nats, summed with the weights and without: (2,)."""
        with self._autocast():
            logits = self.model(inputs)
        each = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="none"
        )
        return torch.stack((torch.dot(each, weights.flatten()), each.detach().sum()))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, self.dtype)

    def train_step(self) -> tuple[float, int, int]:
        """One optimizer step; summed loss in nats, targets and source bytes come back."""
        inputs, targets, weights, source_bytes = self.batch(self.step)
        count, weight = int((targets != IGNORE).sum()), float(weights.sum())
        total = 0.0
        size = self.recipe.micro_batch
        for i in range(0, len(inputs), size):
            part = (each[i : i + size].to(self.device) for each in (inputs, targets, weights))
            weighted, plain = self.loss(*part)
            (weighted / weight).backward()
            total += float(plain.detach())
        if not math.isfinite(total):
            raise UserError(
                f"the loss is {total} at step {self.step}; the last checkpoint in {self.out} "
                "stands; lower the learning rates or look at that batch"
            )
        if self.recipe.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
        factor = self.recipe.schedule.factor(self.step, self.steps)
        for each in self.optimizers:
            for group in each.param_groups:
                group["lr"] = group["peak"] * factor
            each.step()
            each.zero_grad(set_to_none=True)
        self.step += 1
        return total, count, source_bytes

    # ----------------------------------------------------------------------------- whole run

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> bool:
        """Train to the end, or to Ctrl-C or SIGTERM; a checkpoint is written either way.

        Whether the run was finished comes back.
        """
        saved = time.monotonic()
        with _interruptible() as stopped:
            while self.step < self.end and not stopped():
                start = time.monotonic()
                total, count, size = self.train_step()
                self.seconds += time.monotonic() - start
                self.tokens += count
                entry = {
                    "step": self.step,
                    "loss": total / count,
                    "bits_per_byte": total / size / math.log(2),
                    "tokens": self.tokens,
                    "seconds": round(self.seconds, 2),
                }
                self.history.append(entry)
                report(self._progress(entry))
                if time.monotonic() - saved > 60 * self.recipe.save_minutes:
                    self.save()
                    saved = time.monotonic()
            self.save()
        return self.step >= self.end

    def _progress(self, entry: dict[str, float]) -> Progress:
        rate = self.seconds / max(1, len(self.history))
        recent = self.history[-20:]
        return Progress(
            step=self.step,
            steps=self.end,
            epoch=self.step * self.recipe.batch / len(self.rows),
            loss=sum(e["loss"] for e in recent) / len(recent),
            bits_per_byte=sum(e["bits_per_byte"] for e in recent) / len(recent),
            tokens_per_second=self.tokens / self.seconds,
            seconds_left=rate * (self.end - self.step),
        )

    @torch.no_grad()
    def evaluate(self, rows: int = 64) -> float:
        """Bits per byte of held-out text, left to right, over at most `rows` rows.

        NaN when nothing was held out.
        """
        shard = TextShard(Path(self.recipe.corpus), "heldout")
        if not shard.total_bytes:
            return math.nan
        context = self.recipe.shape.context
        causal = Rows(shard, self.tokenizer, context, Corruption(rate=0.0), 0)
        nats, size = 0.0, 0
        for i in range(min(rows, len(causal))):
            x, y, _ = (torch.from_numpy(a)[None].to(self.device) for a in causal.arrays(i, 0))
            nats += float(self._loss(x, y, torch.ones(y.shape, device=self.device))[1])
            size += causal.bytes(i) - int(causal.sizes[x[0, 0]])  # nothing predicts the first id
        return nats / size / math.log(2)

    # ---------------------------------------------------------------------------- checkpoint

    def save(self) -> None:
        """Write the model directory, with what is needed to go on and to know how it was made."""
        dtype = getattr(torch, self.recipe.save_dtype)
        checkpoint.save(self.out, self.model, self.tokenizer, dtype=dtype, extra=self._save_state)

    def _save_state(self, folder: Path) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
        }
        try:
            torch.save(state, folder / STATE)
        except RuntimeError as error:
            raise UserError(f"{self.out}: the state cannot be written ({error})") from error
        log = {**self.facts(), "history": self.history}
        (folder / LOG).write_text(json.dumps(log) + "\n")

    def facts(self) -> dict[str, Any]:
        """How the weights came about."""
        context = self.recipe.shape.context
        positions = self.step * self.recipe.batch * context  # computed on, padding included
        return {
            "codegen25": __version__,
            "torch": torch.__version__,
            "recipe": dataclasses.asdict(self.recipe),
            "corpus_sha256": self.shard.sha256,
            "tokenizer_sha256": self.tokenizer.sha256,
            "dtype": str(self.dtype).removeprefix("torch."),
            "corpus_bytes": self.shard.total_bytes,
            "parameters": self.model.config.parameters,
            "step": self.step,
            "steps": self.steps,
            "tokens": self.tokens,
            "epochs": self.step * self.recipe.batch / len(self.rows),
            "seconds": self.seconds,
            "flops": positions * self.model.config.flops_per_token(context),
        }

    def resume(self) -> None:
        """Go on from the checkpoint in `out`.

        A changed recipe is a UserError that names the fields.
        """
        log = checkpoint.read_json(self.out / LOG)
        if not {"recipe", "tokenizer_sha256", "history"} <= log.keys():
            raise UserError(f"{self.out / LOG}: not written by this version; start anew")
        before, now = log["recipe"], json.loads(json.dumps(dataclasses.asdict(self.recipe)))
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise UserError(f"{self.out}: trained by another recipe; {', '.join(changed)} differ")
        if log["corpus_sha256"] != self.shard.sha256:
            raise UserError(f"{self.out}: trained on another corpus than {self.recipe.corpus}")
        if log["tokenizer_sha256"] != self.tokenizer.sha256:
            raise UserError(f"{self.out}: trained with another tokenizer")
        self.dtype = getattr(torch, log["dtype"])  # "auto" must not choose anew halfway
        try:
            state = torch.load(self.out / STATE, map_location=self.device, weights_only=True)
        except Exception as error:
            raise UserError(f"{self.out / STATE}: cannot go on from it ({error})") from error
        self.model.load_state_dict(state["model"])
        for each, saved in zip(self.optimizers, state["optimizers"], strict=True):
            each.load_state_dict(saved)
        self.step, self.seconds, self.history = state["step"], state["seconds"], log["history"]
        self.tokens = int(self.history[-1]["tokens"]) if self.history else 0


def _require_compiler(device: str) -> None:
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    if device == "cpu" and not any(shutil.which(name) for name in names if name):
        raise UserError(
            "the recipe compiles, which needs a C++ compiler here; install one (Debian, Ubuntu: "
            "apt install g++) or train a little slower with --set compile=false"
        )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM raise a flag, so the step in hand is finished and saved."""
    flag = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal flag
        flag = True

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: flag
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
