"""A race to a held-out figure: Hugging Face's Trainer with AdamW and a cosine, then ours.

The peer trains on a budget of tokens, at each of some rates, its cosine ending with the budget; its
best held-out bits per byte are the mark. Ours gets ever larger shares of that budget, from the
smallest on, until it reaches the mark: same shape, batch and text, both left to right. The clock
counts steps alone, compiling included.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from codegen25.bench import train
from codegen25.bench.elsewhere import answer
from codegen25.bench.train import CONTEXT, asked_of, write_rows
from codegen25.data.shards import TextShard
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train.heldout import of_text
from codegen25.train.log import TEXT
from codegen25.train.loop import Trainer
from codegen25.train.objective import Objective
from codegen25.train.parallel import World
from codegen25.train.recipe import Recipe, Shape
from codegen25.train.schedule import Schedule

RATES = (1e-3, 3e-3)
SHARES = (0.25, 0.33, 0.4, 0.5, 0.75, 1.0)


def race(
    corpus: Path, size: str, batch: int, tokens: float, peers_python: str,
    rates: Sequence[float] = RATES, shares: Sequence[float] = SHARES,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row a run: tokens, seconds, and held-out bits per byte at its end."""
    asked, config = asked_of(corpus, size, batch, 0, True)
    asked["steps"] = max(2, round(tokens / (asked["batch"] * CONTEXT)))
    table: list[dict[str, Any]] = []

    def add(engine: str, setting: str, steps: int, seconds: float, bits: float) -> None:
        run = "compiled" if asked["compile"] and engine == "codegen25" else "eager"
        row = {"engine": engine, "setting": setting, "run": run, "seed": asked["seed"]}
        row["tokens"] = steps * asked["batch"] * CONTEXT
        table.append({**row, "seconds": seconds, "held-out bits per byte": round(bits, 4)})

    with tempfile.TemporaryDirectory() as scratch:
        asked["rows"] = f"{scratch}/rows.npy"
        asked["save"] = f"{scratch}/weights.pt"
        write_rows(asked, Path(asked["rows"]))
        for rate in rates:
            asked["arguments"] = {
                "learning_rate": rate, "lr_scheduler_type": "cosine", "weight_decay": 0.1,
                "warmup_steps": asked["steps"] // 30, "adam_beta2": 0.95, "max_grad_norm": 1.0,
            }  # fmt: skip
            done = answer(
                peers_python, train.__file__, "HF Trainer", json.dumps(asked | {"whole": True})
            )
            if "missing" in done:
                add("HF Trainer", done["missing"], 0, 0.0, float("nan"))
                continue
            model = Llama(config)
            model.load_state_dict(torch.load(asked["save"]))
            add("HF Trainer", f"AdamW {rate}, cosine", asked["steps"], sum(done["seconds"]),
                _bits(model, asked))  # fmt: skip
    mark = min((row["held-out bits per byte"] for row in table), default=float("nan"))
    best = next((row for row in table if row["held-out bits per byte"] == mark), None)
    for share in shares:
        steps = max(2, round(share * asked["steps"]))
        seconds, bits = _ours(asked, steps)
        add("codegen25", f"Muon, {share:.0%} of the budget", steps, seconds, bits)
        if bits <= mark:
            break
    for row in table:
        row["times as fast to the mark"] = (
            f"{best['seconds'] / row['seconds']:.2f}"
            if best and row["seconds"] and row["held-out bits per byte"] <= mark
            else ""
        )
    return table


def _ours(asked: dict[str, Any], steps: int) -> tuple[float, float]:
    """Seconds of the steps and held-out bits per byte after them."""
    recipe = Recipe(
        asked["corpus"], asked["tokenizer"], size=asked["size"], batch=asked["batch"],
        micro_batch=asked["micro"], dtype=asked["dtype"], compile=asked["compile"],
        shape=Shape(context=CONTEXT), objective=Objective("causal"), epochs=1.0, seed=asked["seed"],
        schedule=Schedule("wsd", warmup=max(1, steps // 30), cooldown=0.6, final=0.0),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        run = Trainer(recipe, Path(scratch))
        run.steps = steps
        start = time.perf_counter()
        for _ in itertools.repeat(None, steps):
            run.train_step()
        seconds = time.perf_counter() - start
        return seconds, run.evaluate()[TEXT]


def _bits(model: Llama, asked: dict[str, Any]) -> float:
    held = TextShard(Path(asked["corpus"]), "heldout")
    look = of_text(held, Tokenizer.load(Path(asked["tokenizer"])), CONTEXT, "cpu")
    return look.bits_per_byte(model, getattr(torch, asked["dtype"]), World())
