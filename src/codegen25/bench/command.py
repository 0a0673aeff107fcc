"""`codegen25 bench`: measure, print tables with their conditions, write JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codegen25.bench import data
from codegen25.bench.dedup import near_dedup
from codegen25.bench.table import Row, conditions, markdown
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer

PACKAGES = ("numpy", "tokenizers", "tiktoken", "torch", "ray", "detect-secrets")


def run_data(
    folder: Path,
    megabytes: float,
    corpus: Path | None,
    recipe: Path | None,
    documents: int,
    rounds: int,
    peers_python: str,
    out: Path | None,
) -> None:
    """Print what every step of the pipeline costs; see `bench.data`."""
    tables: dict[str, Sequence[Row]] = {}

    def show(title: str, rows: Sequence[Row]) -> None:
        tables[title] = rows
        print(f"\n## {title}\n\n{markdown(rows)}", end="", flush=True)

    made: dict[str, Any] = conditions(PACKAGES)
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    print(f"{made['machine']}, Python {made['python']}, {versions}")
    show("Every step on one core", data.per_step(folder, megabytes))
    show("The whole pipeline", data.whole(folder))
    if documents:
        show("Near-deduplication", near_dedup(folder, documents, rounds, peers_python))
    if corpus is not None:
        tokenizer = corpus / "tokenizer.json"
        show("Tokenising", data.tokenising(folder, megabytes, Tokenizer.load(tokenizer)))
        if recipe is not None:
            show("Corruption on the fly", data.corruption(recipe, corpus, tokenizer))
    if out is not None:
        out.write_text(json.dumps({**made, "tables": tables}, indent=1) + "\n")


def run_train(
    corpus: Path,
    sizes: Sequence[str],
    batch: int,
    steps: int,
    rounds: int,
    race_tokens: float,
    peers_python: str,
    compiling: bool,
) -> None:
    """Print tokens a second of training, what a loss takes, and a race; see `bench.train`."""
    from codegen25.bench import loss
    from codegen25.bench.race import race
    from codegen25.bench.train import side_by_side

    if min(steps, rounds) < 1 or batch < 0 or race_tokens < 0:
        raise UserError("steps and rounds are at least 1, batch and race-tokens at least 0")
    made = conditions((*PACKAGES, "transformers"))
    print(f"{made['machine']}, Python {made['python']}, torch {made['versions']['torch']}")
    for size in sizes:
        rows = side_by_side(corpus, size, batch, steps, rounds, peers_python, compiling)
        print(f"\n## Tokens a second: {size}\n\n{markdown(rows)}", end="", flush=True)
    where = f"{loss.POSITIONS:,} positions, width {loss.HIDDEN}, {loss.VOCABULARY:,} ids"
    print(f"\n## The loss: {where}\n\n{markdown(loss.table())}", end="", flush=True)
    if race_tokens:
        rows = race(corpus, sizes[0], batch, race_tokens, peers_python)
        print(
            f"\n## To the same held-out figure: {sizes[0]}\n\n{markdown(rows)}", end="", flush=True
        )
