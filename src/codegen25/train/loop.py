"""The training loop: rows in, checkpoints out, on one core or many machines."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from codegen25 import __version__, checkpoint, device, directory
from codegen25.config import ModelConfig
from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.infill import ALIAS, OUR_FIM
from codegen25.instruct import MARK
from codegen25.model import Llama, initialize
from codegen25.seal import fault, seal
from codegen25.tokenizer import Tokenizer
from codegen25.train import (
    lora,
    optimizer,
    origin,
    pairs,
    parallel,
    precision,
    provenance,
    room,
    state,
)
from codegen25.train.batches import Ahead, Batch, compose, rows_of
from codegen25.train.heldout import HeldOut, of_pairs, of_text
from codegen25.train.log import ANSWERS, TEXT, Log
from codegen25.train.lora import merged_state
from codegen25.train.objective import IGNORE, losses
from codegen25.train.pairs import PairRows
from codegen25.train.parallel import World, share_of
from codegen25.train.recipe import Recipe
from codegen25.train.rows import Rows, sample_at
from codegen25.train.schedule import average_decay

_NONE, _DAMAGED = -1, -2
"""In place of a step to go on from: there is no checkpoint; none of them is whole."""
Probe = Callable[[Llama, Tokenizer], Mapping[str, float]]
"""Looks at a model as it is being trained: what it finds, by name."""


@dataclass(frozen=True)
class Step:
    """What a step came to, over all ranks: summed loss in nats, targets, bytes of source."""

    nats: float
    targets: int
    source_bytes: int
    gradient_norm: float
    rate: float


@dataclass(frozen=True)
class Progress:
    """What a finished step reports. Loss is nats per target; `bits_per_byte` of source text.

    `steps` is the last one; rates are of the last twenty steps. `found` is what the last look at
    held-out text said, by name.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    bits_per_byte: float
    tokens_per_second: float
    flops_per_second: float
    seconds_left: float
    found: Mapping[str, float]


class Trainer:
    """One run of a recipe on this process and those beside it. `step` counts finished steps."""

    def __init__(self, recipe: Recipe, out: Path, world: World | None = None) -> None:
        self.out, self.world = out, world or World()
        self.device = device.choose(recipe.device)
        self.dtype = precision.agreed(recipe.dtype, self.device, self.world)
        self.tokenizer = Tokenizer.load(Path(recipe.tokenizer))
        start = origin.of(recipe, self.tokenizer)
        if start:
            recipe = replace(recipe, shape=origin.shape_of(start.config, recipe.shape))
        self.recipe = recipe = recipe.resolved(self.tokenizer.vocab_size, self.device)
        self.share = share_of(recipe.batch, self.world)
        self.shard = TextShard(Path(recipe.corpus))
        self.held = TextShard(Path(recipe.corpus), "heldout")
        self.rows, self.heldout, self.kept = self._read()
        self.decisive = ANSWERS if ANSWERS in self.heldout else TEXT
        self.code = provenance.code_version()
        self.data_sha256 = provenance.data_sha256(self.shard, self.held, recipe.pairs)
        self.steps = max(1, math.ceil(recipe.epochs * len(self.rows) / recipe.batch))
        self.end = min(self.steps, recipe.stop_after or self.steps)
        config = origin.config_of(recipe, start, self.tokenizer.vocab_size)
        room.require(recipe, config, self.dtype, self.device, self.world)
        knows_alias = start is not None and start.form.alias is not None
        self.alias = bool(recipe.objective.kind == "infill" and recipe.corruption.alias)
        self.alias = self.alias or knows_alias
        self.model = self._build(config, start)
        self.init_sha256: Mapping[str, str] = {}
        if start and self.world.first:  # which writes it down
            self.init_sha256 = provenance.init_sha256(start.folder)
        self.optimizers = optimizer.build(self.model, recipe.optimizer)
        self.average = (
            {name: p.detach().clone() for name, p in self.model.named_parameters()}
            if recipe.ema
            else {}
        )
        self.angles = self.model.angles(recipe.shape.context, device=self.device)
        self.loss: Callable[..., Tensor] = self._loss
        if recipe.compile:
            _require_compiler(self.device)
            self.loss = torch.compile(self._loss, dynamic=False)
        self.step, self.tokens, self.seconds, self.best = 0, 0, 0.0, math.inf
        self.found: Mapping[str, float] = {}
        self.log = Log(out, recipe.tensorboard)
        # A CPU composes as fast in between: it is a hundredth of a step there (docs/log.md).
        gpu = torch.device(self.device).type == "cuda"
        self.ahead = Ahead(self.batch, self.end, self._composers()) if gpu else None
        self._told = False

    def _read(self) -> tuple[Rows | PairRows, dict[str, HeldOut], int]:
        """What is trained on and held out, and how many pairs are. The first process of a machine
        checks the data and cuts the rows, the others find them cut."""
        if not self.world.leads:
            self.world.wait()
        else:
            self.shard.verify()
            self.held.verify()
        recipe, tokenizer, context = self.recipe, self.tokenizer, self.recipe.shape.context
        held: dict[str, HeldOut] = {}
        if self.held.total_bytes:
            held[TEXT] = of_text(self.held, tokenizer, context, self.device)
        rows: Rows | PairRows
        kept = 0
        if recipe.pairs:
            given = pairs.of(recipe.pairs, self.shard, self.held)
            rows, kept = PairRows(given.trained, tokenizer, context), len(given.held)
            if not len(rows):
                raise UserError("no pair fits the context")
            if (answers := of_pairs(given.held, tokenizer, context, self.device)) is not None:
                held[ANSWERS] = answers
        else:
            rows = rows_of(recipe, self.shard, tokenizer)
        if self.world.leads:
            self.world.wait()
        return rows, held, kept

    def _build(self, config: ModelConfig, start: directory.Directory | None) -> Llama:
        """The model with its first weights, on its device, cut over the ranks if asked."""
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed)
        sharded = recipe.shard and self.world.size > 1
        if sharded and not (start or recipe.lora.rank):
            return parallel.sharded_from_nothing(config, generator, self.device, recipe.recompute)
        model = Llama(config)
        if start:
            model.load_state_dict(checkpoint.load(start.folder).model.state_dict())
        else:
            initialize(model, generator)
        if recipe.lora.rank:
            lora.adapt(model, recipe.lora, generator)
        model.model.recompute = recipe.recompute
        model.to(self.device)
        if sharded:
            parallel.shard(model)
        return model

    def _composers(self) -> int:
        """Processes that compose batches beside this one: its share of the machine's cores."""
        return min(16, max(1, (len(os.sched_getaffinity(0)) - 1) // self.world.local_size))

    # ------------------------------------------------------------------------------ one step

    def batch(self, step: int) -> Batch:
        """This rank's rows of a step."""
        first = step * self.recipe.batch + self.world.rank * self.share
        return compose(self.rows, self.recipe, first, self.share)

    def _loss(
        self, inputs: Tensor, targets: Tensor, weights: Tensor, documents: Tensor | None = None
    ) -> Tensor:
        """See `objective.losses`."""
        z_loss = self.recipe.objective.z_loss
        # No weight is used twice in a pass; a cache would only hold all of them in two formats.
        with torch.autocast(
            torch.device(self.device).type, self.dtype, self.dtype != torch.float32,
            cache_enabled=False,
        ):  # fmt: skip
            return losses(self.model, inputs, targets, weights, z_loss, documents, self.angles)

    def train_step(self) -> Step:
        """One optimizer step over all ranks."""
        batch = self.ahead(self.step) if self.ahead else self.batch(self.step)
        count, weight, source = self.world.sum(
            int((batch.targets != IGNORE).sum()), float(batch.weights.sum()), batch.source_bytes
        )
        parts = []
        micro = math.gcd(self.recipe.micro_batch, self.share)
        for part in batch.parts(micro, self.device):
            weighted, plain = self.loss(*part)
            (weighted / weight).backward()
            parts.append(plain.detach())
        (total,) = self.world.sum(sum(torch.stack(parts).tolist()))
        if not math.isfinite(total):
            raise UserError(
                f"the loss is {total} at step {self.step}; {self._last_good()}; lower the learning "
                f"rates or look at that batch (rows {self._row_names()})"
            )
        parallel.sum_gradients(self.model, self.world)
        norm = self._clip()
        if not math.isfinite(norm):
            raise UserError(
                f"the gradient's norm is {norm} at step {self.step}; {self._last_good()}; lower "
                f"the learning rates or look at that batch (rows {self._row_names()})"
            )
        factor = self.recipe.schedule.factor(self.step, self.steps)
        for each in self.optimizers:
            for group in each.param_groups:
                group["lr"] = group["peak"] * factor
            each.step()
            each.zero_grad(set_to_none=True)
        decay = average_decay(self.recipe.ema, self.step)
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        self.step += 1
        return Step(total, int(count), int(source), norm, factor)

    def _clip(self) -> float:
        """Bound the gradients' norm; the norm before comes back."""
        bound = self.recipe.optimizer.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), bound)
        return float(parallel.whole(norm))

    def _row_names(self) -> str:
        recipe = self.recipe
        first = self.step * recipe.batch
        found = [
            sample_at(p, len(self.rows), recipe.seed, recipe.order)[1]
            for p in range(first, first + min(4, recipe.batch))
        ]
        return ", ".join(map(str, found)) + (" …" if recipe.batch > 4 else "")

    def _last_good(self) -> str:
        standing = state.steps(self.out)
        return f"{standing[-1]} stands" if standing else "nothing was saved before"

    # ----------------------------------------------------------------------------- whole run

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        probe: Probe = lambda model, tokenizer: {},
        say: Callable[[str], None] = lambda text: None,
    ) -> bool:
        """Train to the end, or to Ctrl-C or SIGTERM; a checkpoint is written either way.

        `probe` looks at the model whenever held-out text is, and what it finds is logged; `say` is
        told why it could not. Whether the run was finished comes back.
        """
        saved = time.monotonic()
        if self.world.first:
            self.out.mkdir(parents=True, exist_ok=True)
            state.sweep(self.out)
            if self.step == 0:
                self.log.rewind(0)  # of a run that was killed before it saved anything
        self.world.wait()
        with _interruptible() as stopped, closing(self.ahead) if self.ahead else nullcontext():
            if self._look_due() and not self._looked():  # it was killed between save and look
                self.look(probe, say)
            while self.step < self.end and not self.world.any(stopped()):
                start = time.monotonic()
                made = self.train_step()
                self.seconds += time.monotonic() - start
                self.tokens += made.targets
                self.log.add(self._entry(made))
                if self.world.first:
                    self.log.write()
                report(self._progress())
                due = time.monotonic() - saved > 60 * self.recipe.save_minutes
                if self.world.any(due) or self._look_due():
                    self.save()
                    saved = time.monotonic()
                if self._look_due():
                    self.look(probe, say)
            self.save()
        return self.step >= self.end

    def _look_due(self) -> bool:
        every = self.recipe.evaluate_every
        return self.step >= self.end or bool(self.step and every and self.step % every == 0)

    def _looked(self) -> bool:
        """Whether the log holds a look at the checkpoint in hand; only the first rank has it."""
        return self.world.any(any(e["step"] == self.step for e in self.log.looks))

    def _entry(self, made: Step) -> dict[str, float]:
        return {
            "step": self.step,
            "epoch": round(self.step * self.recipe.batch / len(self.rows), 4),
            "loss": made.nats / made.targets,
            "bits_per_byte": made.nats / made.source_bytes / math.log(2),
            "gradient_norm": round(made.gradient_norm, 6),
            "rate": made.rate,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
        }

    def _progress(self) -> Progress:
        recent = self.log.steps[-20:]
        taken = recent[-1]["seconds"] - recent[0]["seconds"]
        # The first steps of a run compile; what is left is reckoned from the last ones.
        pace = taken / (len(recent) - 1) if len(recent) > 1 else self.seconds
        tokens = recent[-1]["tokens"] - recent[0]["tokens"] if len(recent) > 1 else self.tokens
        positions = self.recipe.batch * self.recipe.shape.context
        flops = self.model.config.flops_per_token(self.recipe.shape.context)
        flops *= 2 / 3 if self.recipe.lora.rank else 1  # frozen weights have no gradient
        return Progress(
            step=self.step,
            steps=self.end,
            epoch=recent[-1]["epoch"],
            loss=sum(e["loss"] for e in recent) / len(recent),
            bits_per_byte=sum(e["bits_per_byte"] for e in recent) / len(recent),
            tokens_per_second=tokens / max(1e-9, taken or self.seconds),
            flops_per_second=flops * positions / max(1e-9, pace),
            seconds_left=pace * (self.end - self.step),
            found=self.found,
        )

    def evaluate(self) -> dict[str, float]:
        """Bits per byte of what is held out, text and pairs, by their names in a log."""
        with self._averaged():
            try:
                return {
                    name: each.bits_per_byte(self.model, self.dtype, self.world)
                    for name, each in self.heldout.items()
                }
            finally:
                parallel.reshard(self.model)

    def look(self, probe: Probe, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
        """Evaluate after a save, log it, and let `best` lead to the best checkpoint if it stays."""
        found: dict[str, Any] = dict(self.evaluate())
        bits = found.get(self.decisive, math.inf)
        if self.world.first:
            found |= self._probed(probe, say)
            self.log.add({"step": self.step, "tokens": self.tokens, **found})
            self.log.write()
            if bits < self.best and self.recipe.keep_best:
                state.mark_best(self.out, state.step_folder(self.out, self.step))
        self.best = min(self.best, bits)
        self.found = found
        return found

    def _probed(self, probe: Probe, say: Callable[[str], None]) -> Mapping[str, float]:
        """What `probe` finds, on one rank while the others wait at the next step.

        A sharded model is whole on no rank: the checkpoint that was just written is read.
        """
        if not (self.recipe.shard and self.world.size > 1):
            with self._averaged():
                return probe(self.model, self.tokenizer)
        dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        need = dtype.itemsize * self.model.config.parameters
        if need > (have := room.free(self.device)):
            if not self._told:
                self._told = True
                say(
                    "infills of held-out lines are not looked at: the whole model takes "
                    f"{need / 1e9:.1f} GB, {have / 1e9:.1f} GB are free on the first rank"
                )
            return {}
        folder = state.step_folder(self.out, self.step)
        return probe(checkpoint.load(folder, self.device, dtype).model, self.tokenizer)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in place of the weights, if there is an average."""
        if not self.average:
            yield
            return
        own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self._set_weights(self.average)
        try:
            yield
        finally:
            self._set_weights(own)

    @torch.no_grad()
    def _set_weights(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])

    # ---------------------------------------------------------------------------- checkpoint

    def save(self) -> None:
        """Write a checkpoint, make its model the run's, and drop old ones.

        What fails leaves those before as they are.
        """
        folder = state.step_folder(self.out, self.step)
        staging = folder.with_name(f".{folder.name}.new")
        if folder.exists():
            return
        try:
            if self.world.first:
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir(parents=True)
            self.world.wait()
            tensors = state.tensors(self.model, self.optimizers, self.average)
            state.write_tensors(staging / state.STATE, tensors, self.world.size == 1)
            weights: dict[str, Tensor] = {}
            with self._averaged():
                for name, tensor in merged_state(self.model).items():
                    full = parallel.whole(tensor)  # of all ranks, so every rank asks
                    if self.world.first:  # a copy: the average is about to leave again
                        weights[name] = full.detach().to("cpu", copy=True)
            if self.world.first:
                self._write_model(staging, weights)
                seal(staging)
                staging.rename(folder)
                state.publish(folder, self.out)
                state.prune(self.out, self.recipe.keep_last, self.recipe.keep_best)
            self.world.wait()
        except UserError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        except (OSError, RuntimeError, CheckpointException) as error:
            shutil.rmtree(staging, ignore_errors=True)
            said = str(error).strip().split("\n")[-1]
            raise UserError(
                f"{folder}: the checkpoint cannot be written ({said}); {self._last_good()}"
            ) from error

    def _write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        checkpoint.write(
            folder, self.model.config, weights, self.tokenizer,
            dtype=getattr(torch, self.recipe.save_dtype), infill=self.infill,
            marks=self.marks,
        )  # fmt: skip
        (folder / directory.FACTS).write_text(json.dumps(self.facts(), indent=1) + "\n")

    @property
    def infill(self) -> dict[str, str] | None:
        """The sentinels that `config.json` has to name: of a baseline's fill-in-the-middle."""
        kind = self.recipe.objective.kind
        return {**OUR_FIM, "layout": kind} if kind in ("psm", "spm") else None

    @property
    def marks(self) -> dict[str, str]:
        """What else `config.json` says of a model of ours: it chats, it knows the alias."""
        chats = MARK if self.recipe.pairs else {}
        return chats | ({"alias": ALIAS} if self.alias else {})

    def facts(self) -> dict[str, Any]:
        """How the weights came about."""
        context = self.recipe.shape.context
        positions = self.step * self.recipe.batch * context  # computed on, padding included
        return {
            "codegen25": __version__,
            "code": self.code,
            "torch": torch.__version__,
            "recipe": dataclasses.asdict(self.recipe),
            "corpus_sha256": self.shard.sha256,
            "data_sha256": self.data_sha256,
            "tokenizer_sha256": self.tokenizer.sha256,
            "init_sha256": dict(self.init_sha256),
            "dtype": str(self.dtype).removeprefix("torch."),
            "corpus_bytes": self.shard.total_bytes,
            "parameters": self.model.config.parameters,
            "step": self.step,
            "steps": self.steps,
            "tokens": self.tokens,
            "epochs": self.step * self.recipe.batch / len(self.rows),
            "seconds": self.seconds,
            "flops": positions * self.model.config.flops_per_token(context),
            "processes": self.world.size,
        } | (
            {"pairs_left_out": self.rows.too_long, "pairs_held_out": self.kept}
            if isinstance(self.rows, PairRows)
            else {}
        )

    def resume(self, warn: Callable[[str], None] = lambda text: None) -> bool:
        """Go on from the newest checkpoint that is whole; whether there was one comes back.

        `warn` is told of those that are damaged, on the first rank, which chooses for all; they are
        renamed. A changed recipe is a UserError that names the fields.
        """
        faults: dict[Path, str] = {}
        step = int(self.world.of_first(self._newest_whole(faults) if self.world.first else 0))
        if step == _DAMAGED:
            for damaged, said in faults.items():
                warn(f"{damaged}: {said}")
            raise UserError(f"{self.out}: no checkpoint is whole; start anew in another folder")
        if step == _NONE:
            if self.world.first and self.out.is_dir():
                self.log.rewind(0)
            return False
        folder = state.step_folder(self.out, step)
        self._restore(folder)
        if self.world.first:
            for damaged, said in faults.items():
                kept = state.set_aside(damaged).name
                warn(f"{damaged}: {said}; it is kept as {kept}, the one before is taken")
            state.drop_lost_mark(self.out)
            state.publish(folder, self.out)  # it may have been killed before it did
        self.world.wait()
        return True

    def _newest_whole(self, faults: dict[Path, str]) -> int:
        """The step of the newest checkpoint that is whole, `_NONE` or `_DAMAGED`; newer ones go to
        `faults`."""
        state.sweep(self.out)
        standing = state.steps(self.out)
        for folder in reversed(standing):
            if not (found := fault(folder)):
                return int(folder.name.removeprefix("step-"))
            faults[folder] = found
        return _DAMAGED if standing else _NONE

    def _restore(self, folder: Path) -> None:
        facts = state.facts(folder)
        provenance.require_same(self.out, facts, self.facts())
        self.dtype = getattr(torch, facts["dtype"])  # "auto" must not choose anew halfway
        tensors = state.tensors(self.model, self.optimizers, self.average)
        try:
            state.read_tensors(folder / state.STATE, tensors, self.world.size == 1)
        except (OSError, RuntimeError, CheckpointException) as error:
            raise UserError(f"{folder}: cannot go on from it ({error})") from error
        self.step, self.tokens, self.seconds = facts["step"], facts["tokens"], facts["seconds"]
        self.init_sha256 = facts.get("init_sha256", {})  # of that start, whatever lies there now
        if self.world.first:
            self.log.rewind(self.step)
        looks = self.log.looks
        self.best = min((look.get(self.decisive, math.inf) for look in looks), default=math.inf)
        last = looks[-1] if looks else {}
        self.found = {key: last[key] for key in last if key not in ("step", "tokens")}


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
