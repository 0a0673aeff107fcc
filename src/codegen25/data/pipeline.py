"""From sources to a corpus: parts made in parallel, a selection over all of them, shards.

    sources → tasks → parts (read, judge, keys)      parts.py      in parallel, each kept when done
            → selection (twins, shares, split)       selection.py  over keys and sizes only
            → text shards → token shards             here, tokens.py

The working folder `.NAME.work` beside the corpus holds the parts; a run that was killed goes on
from them and writes the same bytes. It is removed when the corpus stands.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.data import report, tokens
from codegen25.data.documents import Count, Document, Tally, apply
from codegen25.data.engines import Engine
from codegen25.data.metadata import with_metadata
from codegen25.data.order import repository_order
from codegen25.data.parts import COUNTS, HITS, PartTask, open_part
from codegen25.data.recipe import DataRecipe
from codegen25.data.selection import Listing, draw, held_out, select
from codegen25.data.shards import ShardWriter, TextShard, write_header
from codegen25.data.sources import Task, from_table
from codegen25.errors import UserError
from codegen25.models import cache_folder
from codegen25.tokenizer import Tokenizer

SPLITS = ("train", "heldout")
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many of how many."""


def build(
    recipe: DataRecipe,
    out: Path,
    engine: Engine,
    progress: Progress = lambda what, done, of: None,
) -> dict[str, Any]:
    """Build the corpus folder `out` and return its report.

    `out` appears whole or not at all; an existing `out` is a UserError.
    """
    if os.path.lexists(out):
        raise UserError(f"{out} exists already; name another folder with --out or remove it")
    if recipe.tokenizer:
        Tokenizer.load(Path(recipe.tokenizer))
    work = out.with_name(f".{out.name}.work")
    cache = cache_folder() / "data"
    found = [task for table in recipe.sources for task in from_table(table).tasks(cache)]
    with _working(work), _disk_errors(work):
        parts = _make_parts(found, recipe, work, engine, progress)
        tally, hits = _counts(parts)
        listing = Listing.of(parts)
        progress("looking for twins", 0, 1)
        kept = select(listing, recipe, engine, tally)
        if not len(kept):
            raise UserError(f"nothing is left for a corpus: {report.why_empty(tally)}")
        splits = _split(listing, kept, recipe)
        staging = work / "corpus"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        entries = {
            split: _write_text(staging, split, _documents(listing, chosen), recipe, tally)
            for split, chosen in splits.items()
        }
        write_header(staging, entries)
        if recipe.tokenizer:
            written = _write_tokens(staging, recipe, work, engine, progress)
            write_header(staging, entries, tokens=written)
        made = report.make(recipe, tally, hits, listing, splits, entries)
        report.write(made, staging)
        staging.rename(out)
        shutil.rmtree(work, ignore_errors=True)
    return made


# -------------------------------------------------------------------------------------- parts


def _make_parts(
    found: Sequence[Task], recipe: DataRecipe, work: Path, engine: Engine, progress: Progress
) -> list[Path]:
    tasks = [PartTask(task, recipe.judgement, str(work.absolute() / "parts")) for task in found]
    parts: list[Path] = []
    for part in engine.map(PartTask.run, tasks):
        parts.append(Path(part))
        progress("reading", len(parts), len(tasks))
    return parts


def _counts(parts: Sequence[Path]) -> tuple[Tally, list[dict[str, Any]]]:
    tally, hits = Tally(), []
    for part in parts:
        counts = json.loads((part / COUNTS).read_text())
        tally.add(Tally({name: Count.from_json(data) for name, data in counts.items()}))
        hits += json.loads((part / HITS).read_text())
    return tally, hits


# ------------------------------------------------------------------------------------- shards


def _split(listing: Listing, kept: NDArray[np.int64], recipe: DataRecipe) -> dict[str, list[int]]:
    """The documents of each split, in the order in which they are written."""
    sizes: Counter[str] = Counter()
    repos: dict[str, list[int]] = defaultdict(list)
    for i in kept.tolist():
        repo = listing.rows[i]["repo"]
        sizes[repo] += int(listing.size[i])
        repos[repo].append(i)
    held = held_out(sizes, recipe.heldout, recipe.seed)
    splits: dict[str, list[int]] = {split: [] for split in SPLITS}
    for repo in sorted(repos, key=lambda name: draw(recipe.seed, name)):
        members = repos[repo]
        if recipe.order == "repository":
            documents = list(_documents(listing, members))
            members = [members[k] for k in repository_order(documents)]
        splits[SPLITS[repo in held]] += members
    if recipe.order == "shuffled":
        for chosen in splits.values():
            chosen.sort(key=lambda i: (draw(recipe.seed, listing.name(i)), i))
    return splits


def _documents(listing: Listing, chosen: Sequence[int]) -> Iterator[Document]:
    opened: dict[int, TextShard] = {}
    for i in chosen:
        part = int(listing.part[i])
        if part not in opened:
            if len(opened) >= 1024:
                opened.clear()
            opened[part] = open_part(listing.parts[part])
        yield opened[part].document(int(listing.index[i]), listing.rows[i])


def _write_text(
    folder: Path, split: str, documents: Iterable[Document], recipe: DataRecipe, tally: Tally
) -> dict[str, Any]:
    if recipe.metadata:
        step = with_metadata(recipe.metadata, recipe.seed)
        documents = apply("metadata", step, documents, tally)
    with ShardWriter(folder, split) as writer:
        for document in documents:
            writer.add(document)
    return writer.entry


def _write_tokens(
    folder: Path, recipe: DataRecipe, work: Path, engine: Engine, progress: Progress
) -> dict[str, Any]:
    path = Path(recipe.tokenizer).absolute()
    tokenizer = Tokenizer.load(path)
    entries = {}
    for split in SPLITS:
        chunks = tokens.chunks(folder.absolute(), split, path, work.absolute(), tokenizer.sha256)
        done: list[str] = []
        for part in engine.map(tokens.Chunk.run, chunks):
            done.append(part)
            progress(f"tokenising {split}", len(done), len(chunks))
        entries[split] = tokens.join(done, folder, split, tokenizer)
    dtype = np.dtype(tokens.id_dtype(tokenizer)).newbyteorder("<").str
    return {"tokenizer_sha256": tokenizer.sha256, "dtype": dtype, "splits": entries}


# ----------------------------------------------------------------------------- working folder


@contextmanager
def _working(work: Path) -> Iterator[None]:
    """The working folder, for this run alone."""
    try:
        (work / "parts").mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("w")
    except OSError as error:
        raise UserError(f"{work}: cannot be written ({error.strerror})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{work}: another run is at work there; wait for it") from error
        for unfinished in (work / "parts").glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        yield


@contextmanager
def _disk_errors(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{work}: the disk is full; make room and run the same command again to go on"
            ) from error
        raise
