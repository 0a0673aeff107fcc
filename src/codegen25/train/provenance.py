"""What a run was trained by and on, and what has changed when it is to go on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.seal import file_sha256
from codegen25.train.mining import named
from codegen25.train.recipe import Recipe
from codegen25.train.table import identity
from codegen25.weights import weight_files

FREE = frozenset({
    "save_minutes", "keep_last", "keep_best", "evaluate_every", "micro_batch", "device", "shard",
    "recompute", "compile", "stop_after", "tensorboard",
})  # fmt: skip
"""Fields of a recipe that may change halfway: they leave rows, losses and schedule as they are."""
PLACES = frozenset({"corpus", "tokenizer", "pairs"})
"""Fields that say where something lies; what lies there is compared instead."""


def data_sha256(corpus: TextShard, heldout: TextShard, pairs: str) -> dict[str, str]:
    """Hashes of what a run reads: both splits, text and structure, and the file of pairs, if any.

    Pairs that are mined from the corpus are named, their hash is the corpus'.
    """
    found = {"train": identity(corpus), "heldout": identity(heldout), "pairs": ""}
    if named(pairs):
        found["pairs"] = ",".join(named(pairs))
    elif pairs:
        try:
            found["pairs"] = file_sha256(Path(pairs))
        except OSError as error:
            raise UserError(f"{pairs}: cannot be read as pairs ({error})") from error
    return found


def init_sha256(folder: Path) -> dict[str, str]:
    """The hash of each weight file of a model directory, by its name."""
    return {path.name: file_sha256(path) for path in weight_files(folder)}


def code_version(folder: Path = Path(__file__).parent) -> str:
    """`git describe --always --dirty` of the checkout that tracks a folder of code; empty when none
    does: a release may be installed inside of somebody's checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout.strip()  # fmt: skip

    try:
        return git("describe", "--always", "--dirty") if git("ls-files", "--", ".") else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def require_same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Both as of `Trainer.facts`. A UserError if recipe, tokenizer or data differ, saying how."""
    now = json.loads(json.dumps(now))
    if different := changes(before["recipe"], now["recipe"]):
        raise UserError(f"{out}: trained by another recipe; {', '.join(different)}")
    if before["tokenizer_sha256"] != now["tokenizer_sha256"]:
        raise UserError(f"{out}: trained with another tokenizer than {now['recipe']['tokenizer']}")
    if before["corpus_sha256"] != now["corpus_sha256"]:
        raise UserError(f"{out}: trained on another corpus than {now['recipe']['corpus']}")
    mine = now["data_sha256"]  # checkpoints of before it was noted have none
    if names := [k for k, v in before.get("data_sha256", mine).items() if mine.get(k) != v]:
        raise UserError(f"{out}: trained on other data; {' and '.join(names)} differ")
    if before["steps"] != now["steps"]:
        raise UserError(
            f"{out}: planned for {before['steps']:,} steps, which are {now['steps']:,} now: the "
            "version that began it cuts rows otherwise; go on with that one"
        )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`optimizer.adam_lr: 0.001 -> 0.002` for each field of a resolved recipe that matters.

    A field that `before` lacks, as it was written by an older release, had its default's effect.
    """
    usual = flat(asdict(Recipe(corpus="", tokenizer="")))
    old, new = flat(before), flat(now)
    old |= {key: usual[key] for key in new if key not in old and key in usual}
    return [
        f"{key}: {_shown(old, key)} -> {_shown(new, key)}"
        for key in [*new, *(key for key in old if key not in new)]
        if key.split(".")[0] not in FREE | PLACES and old.get(key) != new.get(key)
    ]


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A table of tables as one of dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _shown(table: Mapping[str, Any], key: str) -> str:
    return json.dumps(table[key]) if key in table else "not there"
