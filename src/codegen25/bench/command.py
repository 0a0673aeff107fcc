"""`codegen25 bench`: measure, print tables with their conditions, write JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codegen25.bench import data
from codegen25.bench.dedup import near_dedup
from codegen25.bench.table import Row, conditions, markdown
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
