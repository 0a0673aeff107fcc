"""`codegen25 train`: a recipe, a progress line, a model directory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25 import settings
from codegen25.data.shards import TextShard
from codegen25.directory import TOKENIZER
from codegen25.errors import UserError
from codegen25.models import PERSONAL
from codegen25.tokenizer import Tokenizer
from codegen25.train import own, parallel, precision, state
from codegen25.train import recipe as recipes
from codegen25.train.batches import rows_of
from codegen25.train.log import ANSWERS, TEXT
from codegen25.train.loop import Probe, Progress, Trainer
from codegen25.train.pairs import PairRows
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe
from codegen25.train.spans import realised

NOWHERE = {"corpus": "''", "tokenizer": "''"}
"""What stands for the corpus until one is made."""
Prober = Callable[[Path, Mapping[str, str] | None], Probe]


def run(
    names: Sequence[str],
    out: Path | None,
    data: Sequence[str],
    overrides: list[str],
    resume: bool,
    spans: bool,
    prober: Prober,
) -> None:
    """Train by a recipe, or show what its span corruption does to the corpus.

    `data` are sources to make the corpus of. `prober` makes of a corpus and the config's `infill`
    what looks at the model meanwhile.
    """
    if len(names) != 1:
        raise UserError(f"{' '.join(names)}: one recipe a run")
    world = parallel.join()
    try:
        _run_one(names[0], out, data, overrides, resume, spans, prober, world)
    finally:
        parallel.leave()


def _run_one(
    recipe: str, out: Path | None, data: Sequence[str], overrides: Sequence[str], resume: bool,
    spans: bool, prober: Prober, world: World,
) -> None:  # fmt: skip
    personal = out is None and recipe == PERSONAL
    out = own.personal_folder() if personal else out
    if out is None:
        raise UserError("--out: name the model directory to write")
    given = settings.pairs(overrides)
    _require_sound(recipe, data, given)
    if not spans and not resume:
        _require_new(out, personal)
        world.wait()  # or a process would look after the first one has tidied up
        if personal and world.first:  # what a run left that saved nothing
            shutil.rmtree(out, ignore_errors=True)
    world.wait()
    loaded = _recipe(recipe, out, data, given, world)
    finished = _run(loaded, out, resume, spans, prober, world)
    if personal and finished and world.first:
        print(f"saved {own.put_in_place(out)}, which `complete` uses from now on")


def _require_sound(name: str, data: Sequence[str], overrides: dict[str, str]) -> None:
    """A UserError if the recipe has a mistake, before anything is made or removed."""
    recipes.load(recipes.find(name), (NOWHERE if data else {}) | overrides)


def _require_new(out: Path, personal: bool) -> None:
    """A UserError if a run stands in `out`."""
    standing = state.steps(out)
    if personal and standing:
        raise UserError(
            f"{standing[-1]} stands, of a personal run that was stopped; go on from it with "
            f"--resume, or remove {out} to start anew"
        )
    if standing or (not personal and (out / "config.json").exists()):
        raise UserError(f"{out} exists already; go on from it with --resume or name another")


def _recipe(
    name: str, out: Path, data: Sequence[str], overrides: dict[str, str], world: World
) -> Recipe:
    """The recipe, on a corpus made of `data` if there is some."""
    path = recipes.find(name)
    if not data:
        return recipes.load(path, overrides)
    init = recipes.load(path, NOWHERE | overrides).init
    if world.first:  # one rank makes it, the others find it made
        own.prepared(data, out, init, print)
    world.wait()
    corpus = own.prepared(data, out, init, lambda text: None)
    made = {"corpus": str(corpus), "tokenizer": str(corpus / TOKENIZER)}
    return recipes.load(path, made | overrides)


def _run(
    loaded: Recipe, out: Path, resume: bool, spans: bool, prober: Prober, world: World
) -> bool:
    """Train on this process and those beside it; whether the run was finished comes back."""
    if spans:
        _show_spans(loaded)
        return False
    trainer = Trainer(loaded, out, world)
    finished = _train(trainer, resume, prober(Path(trainer.recipe.corpus), trainer.infill))
    world.wait()  # a rank that leaves early takes the connections of the others along
    return finished


def _show_spans(recipe: Recipe) -> None:
    """Needs no model; on a large corpus it also cuts the rows, for runs to come."""
    if recipe.pairs:
        raise UserError("--spans shows span corruption, and this recipe trains on pairs")
    rows = rows_of(recipe, TextShard(Path(recipe.corpus)), Tokenizer.load(Path(recipe.tokenizer)))
    print(realised(rows), end="")


def _train(trainer: Trainer, resume: bool, probe: Probe) -> bool:
    def say(text: str) -> None:
        if trainer.world.first:
            print(text, flush=True)

    if resume and trainer.resume(lambda text: print(f"codegen25: {text}", file=sys.stderr)):
        say(f"going on after step {trainer.step}")
    config, recipe = trainer.model.config, trainer.recipe
    beside = f" on {trainer.world.size} processes" if trainer.world.size > 1 else ""
    say(
        f"{recipe.name}: {config.parameters / 1e6:.2f}M parameters, {len(trainer.rows):,} rows of "
        f"{recipe.shape.context} tokens, {trainer.end:,} steps of {recipe.batch}, {trainer.device} "
        f"{str(trainer.dtype).removeprefix('torch.')}{beside}"
    )
    if trainer.kept:
        say(f"{trainer.kept:,} pairs are held out")
    if isinstance(trainer.rows, PairRows) and (left := trainer.rows.too_long):
        say(f"{left:,} pairs are left out: their prompts fill {recipe.shape.context} tokens alone")
    first = trainer.world.first
    peak = precision.peak(trainer.device, trainer.dtype) * trainer.world.size if first else 1.0
    line = _Line(peak)
    try:
        finished = trainer.run(line if first else lambda progress: None, probe, line.say)
    finally:
        line.close()
    if not finished:
        say(f"stopped at step {trainer.step}; go on with --resume")
    else:
        say(described(trainer.found))
    say(f"saved {trainer.out}")
    return finished


def described(last: Mapping[str, float]) -> str:
    """A look at held-out text, for people."""
    names = {TEXT: "held-out bits per byte", ANSWERS: "held-out answers, bits per byte"}
    parts = [f"{said} {last[name]:.4f}" for name, said in names.items() if name in last]
    if not parts:
        return "nothing is held out"
    if "stop_rate" in last:
        parts.append(
            f"of single lines stopped {last['stop_rate']:.0%}, exact {last['exact_match']:.0%}"
        )
    return ", ".join(parts)


class _Line:
    """A bar with a line under it on a terminal; a line every twentieth step in a log."""

    def __init__(self, peak: float) -> None:
        self.peak = peak
        self.bar: Any = None
        self.looked: Mapping[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        text = (
            f"step {progress.step}/{progress.steps}  epoch {progress.epoch:.2f}  "
            f"loss {progress.loss:.3f}  bits/byte {progress.bits_per_byte:.3f}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  "
            f"MFU {progress.flops_per_second / self.peak:.0%}  {minutes}:{seconds:02} left"
        )
        last = progress.step == progress.steps
        if progress.found != self.looked and not last:
            self.looked = progress.found
            self.say(f"step {progress.step - 1}: {described(self.looked)}")
        if sys.stdout.isatty():
            self._draw(progress, text, last)
        elif progress.step % 20 == 1 or last:
            print(text, flush=True)

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        (self.bar.console.print if self.bar else print)(text)

    def _draw(self, progress: Progress, text: str, last: bool) -> None:
        if self.bar is None:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(BarColumn(bar_width=20), TextColumn("{task.description}"))
            self.bar.add_task("", total=progress.steps)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=progress.step, description=text)
        if last:
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
