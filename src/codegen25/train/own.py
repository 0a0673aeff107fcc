"""`codegen25 train RECIPE --data …`: a corpus made first, a personal model put in its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from codegen25 import vocabulary
from codegen25.data import pipeline
from codegen25.data.command import of_sources
from codegen25.data.engines import Local
from codegen25.data.shards import TextShard
from codegen25.directory import TOKENIZER
from codegen25.errors import UserError
from codegen25.models import PERSONAL, cache_folder, resolve

CORPUS, SOURCES = "corpus", "corpus.sources.json"
VOCABULARY = 4096
"""Ids of a tokenizer that is trained because the recipe starts from no model."""


def prepared(sources: Sequence[str], out: Path, init: str, say: Callable[[str], None]) -> Path:
    """Make a corpus of `sources` in `out`, unless it stands there; its folder, with a tokenizer.

    One that stands there and was made of other sources is a UserError. The tokenizer is that of the
    model to start from; without one it is trained on the corpus.
    """
    corpus = out / CORPUS
    if corpus.exists():
        _require_same(out / SOURCES, sources, corpus)
    else:
        out.mkdir(parents=True, exist_ok=True)
        # Before the corpus: one that is cut off is made anew, one that stands says of what it is.
        (out / SOURCES).write_text(json.dumps(_named(sources), indent=1) + "\n")
        made = pipeline.build(of_sources(sources, {}), corpus, Local(0))
        entry = made["splits"]["train"]
        say(f"{corpus}: {entry['documents']:,} files, {entry['bytes'] / 1e6:.2f} MB")
    if not (corpus / TOKENIZER).exists():
        staging = corpus / f".{TOKENIZER}.new"
        if init:
            shutil.copyfile(resolve(init) / TOKENIZER, staging)
        else:
            vocabulary.train(iter(TextShard(corpus)), VOCABULARY).save(staging)
        staging.replace(corpus / TOKENIZER)
    return corpus


def _named(sources: Sequence[str]) -> list[str]:
    """The sources, those that are files or folders by their whole path."""
    paths = ((source, Path(source).expanduser()) for source in sources)
    return [str(path.resolve()) if path.exists() else source for source, path in paths]


def _require_same(note: Path, sources: Sequence[str], corpus: Path) -> None:
    """A UserError unless `note`, which corpora of before it was written lack, names `sources`."""
    if not note.exists():
        return
    try:
        made_of = json.loads(note.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{note}: cannot be read ({error}); remove it and {corpus}") from error
    if made_of != (asked := _named(sources)):
        raise UserError(
            f"{corpus}: made of {_listed(made_of)}, not of {_listed(asked)}; name those or "
            "another --out"
        )


def _listed(sources: Sequence[str]) -> str:
    return ", ".join(map(str, sources))


def personal_folder() -> Path:
    """Where a personal model is trained, beside the one that is in use meanwhile."""
    return cache_folder() / f".{PERSONAL}.new"


def put_in_place(trained: Path) -> Path:
    """Let a finished personal model take the place of the one before; its folder."""
    folder = cache_folder() / PERSONAL
    old = folder.with_name(f".{PERSONAL}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    trained.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder
