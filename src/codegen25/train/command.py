"""`codegen25 train`: a recipe, a progress line, a model directory."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from codegen25 import settings
from codegen25.errors import UserError
from codegen25.train import recipe as recipes
from codegen25.train.loop import Progress, Trainer
from codegen25.train.spans import realised


def run(recipe: Path, out: Path, overrides: list[str], resume: bool, spans: bool) -> None:
    """Train by a recipe, or show what its span corruption does to the corpus."""
    loaded = recipes.load(recipe, settings.pairs(overrides))
    if not spans and not resume and out.exists():
        raise UserError(f"{out} exists already; go on from it with --resume or name another")
    trainer = Trainer(loaded, out)
    if spans:
        print(realised(trainer.rows), end="")
        return
    if resume:
        trainer.resume()
    config = trainer.model.config
    print(
        f"{loaded.name}: {config.parameters / 1e6:.2f}M parameters, {len(trainer.rows):,} rows of "
        f"{loaded.shape.context} tokens, {trainer.steps:,} steps, {trainer.device} "
        f"{str(trainer.dtype).removeprefix('torch.')}",
        flush=True,
    )
    finished = trainer.run(_Line())
    if finished:
        bits = trainer.evaluate()
        print("nothing is held out" if math.isnan(bits) else f"held-out bits per byte {bits:.4f}")
    else:
        print(f"stopped at step {trainer.step}; go on with --resume")
    print(f"saved {out}")


class _Line:
    """One line that is rewritten on a terminal; every twentieth step in a log."""

    def __call__(self, progress: Progress) -> None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        text = (
            f"step {progress.step}/{progress.steps}  epoch {progress.epoch:.2f}  "
            f"loss {progress.loss:.3f}  bits/byte {progress.bits_per_byte:.3f}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  {minutes}:{seconds:02} left"
        )
        last = progress.step == progress.steps
        if sys.stdout.isatty():
            print(f"\r\033[K{text}", end="\n" if last else "", flush=True)
        elif progress.step % 20 == 1 or last:
            print(text, flush=True)
