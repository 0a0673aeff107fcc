"""`bench data`: MB/s of every step on one core, the whole pipeline, tokenising beside its peers,
and what corruption on the fly costs training.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from codegen25.bench.table import Row
from codegen25.data import dedup
from codegen25.data.documents import Document, Step, Tally
from codegen25.data.metadata import with_metadata
from codegen25.data.minhash import signatures
from codegen25.data.parts import decontamination, steps
from codegen25.data.recipe import DataRecipe
from codegen25.data.shards import ShardWriter
from codegen25.data.sources import from_table
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer
from codegen25.vocabulary import byte_spelling

REPEATS = 3
GPT2_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's split regex (openai/gpt-2 encoder.py), which `tokenizers` has built in."""


def documents(folder: Path, megabytes: float) -> tuple[list[Document], float]:
    """Documents of `folder` up to a size, as read from the disk cache, and the seconds it took."""
    read: list[Document] = []
    size, start, tally = 0, time.perf_counter(), Tally()
    for task in from_table({"kind": "folder", "path": str(folder)}).tasks(folder):
        for document in task.read(tally.of("read")):
            read.append(document)
            size += document.size
        if size >= megabytes * 1e6:
            break
    if not read:
        raise UserError(f"{folder} holds no source file")
    return read, time.perf_counter() - start


def per_step(folder: Path, megabytes: float) -> list[Row]:
    """One row a step, one core: what goes into it, and how fast. Medians of a few passes.

    Documents go through the judging steps one by one, as in the pipeline: a tree that two steps
    need is made in the first.
    """
    current, seconds = documents(folder, megabytes)
    rows: list[Row] = [_row("read", current, seconds)]
    recipe = DataRecipe(({},), licenses="any")
    named = [*steps(recipe), ("decontamination", decontamination(recipe, []))]
    named.append(("metadata", with_metadata(0.2, 0)))
    passes = [_judged(named, current) for _ in range(REPEATS)]
    for i, (name, _) in enumerate(named):
        seconds = statistics.median(times[i] for _, times in passes)
        rows.append(_row(name, passes[0][0][i], seconds))
    current = passes[0][0][-1]
    texts = [document.text for document in current]
    _, seconds = _timed(lambda: [dedup.exact_key(text) for text in texts])
    rows.append(_row("exact duplicates: keys", current, seconds))
    signed, seconds = _timed(lambda: signatures(texts))
    rows.append(_row("near duplicates: signatures", current, seconds))
    rank = np.arange(len(texts))
    _, seconds = _timed(lambda: dedup.near_duplicates(signed, rank))
    rows.append(_row("near duplicates: bands, pairs, keep", current, seconds))
    with tempfile.TemporaryDirectory() as scratch:
        _, seconds = _timed(lambda: _write(Path(scratch), current))
    rows.append(_row("write text shard", current, seconds))
    total = sum(row["seconds"] for row in rows)
    return [*rows, {**_row("all steps", current, total), "MB": rows[0]["MB"],
            "MB/s": rows[0]["MB"] / total, "documents/s": rows[0]["documents"] / total,
            "documents": rows[0]["documents"]}]  # fmt: skip


def _judged(
    named: Sequence[tuple[str, Step]], taken: Sequence[Document]
) -> tuple[list[list[Document]], list[float]]:
    """What goes into each step, and the seconds it takes; what leaves the last comes at the end."""
    into: list[list[Document]] = [[] for _ in range(len(named) + 1)]
    times = [0.0] * len(named)
    for document in taken:
        current: Document | str = document
        for i, (_, step) in enumerate(named):
            assert isinstance(current, Document)
            into[i].append(current)
            start = time.perf_counter()
            current = step(current)
            times[i] += time.perf_counter() - start
            if isinstance(current, str):
                break
        else:
            assert isinstance(current, Document)
            into[-1].append(current)
    return into, times


def _write(folder: Path, chosen: Sequence[Document]) -> None:
    with ShardWriter(folder, "train") as writer:
        for document in chosen:
            writer.add(document)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result and the median seconds of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)


def _row(name: str, taken: Sequence[Document], seconds: float) -> dict[str, Any]:
    size = sum(document.size for document in taken) / 1e6
    return {
        "step": name,
        "documents": len(taken),
        "MB": size,
        "seconds": seconds,
        "MB/s": size / seconds,
        "documents/s": len(taken) / seconds,
    }


def whole(folder: Path, workers: Sequence[int] = (1, 2)) -> list[Row]:
    """The whole pipeline as a user runs it, start of Python included: MB of source text read."""
    rows: list[Row] = []
    for count in workers:
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "corpus"
            command = ["data", str(folder), "--out", str(out), "--workers", str(count)]
            start = time.perf_counter()
            most, together = _memory([sys.executable, "-m", "codegen25", *command])
            seconds = time.perf_counter() - start
            made = json.loads((out / "report.json").read_text())
        size = made["steps"]["read"]["bytes_out"] / 1e6
        rows.append(
            {
                "workers": count,
                "MB": size,
                "seconds": seconds,
                "MB/s": size / seconds,
                "MB/s and core": size / seconds / count,
                "peak MB, the largest process": most / 1e6,
                "all together": together / 1e6,
            }
        )
    return rows


def _memory(command: list[str]) -> tuple[int, int]:
    """Run a command; the most bytes one of its processes held, and all of them at one moment.

    Resident memory, sampled every 50 ms; pages that processes share count in each.
    """
    most = together = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        root = psutil.Process(running.pid)
        try:
            while running.poll() is None:
                held = []
                with contextlib.suppress(psutil.NoSuchProcess):
                    for process in [root, *root.children(recursive=True)]:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            held.append(process.memory_info().rss)
                most, together = max([most, *held]), max(together, sum(held))
                time.sleep(0.05)
        except BaseException:
            running.terminate()
            raise
        if running.returncode:
            said = running.stderr.read().decode() if running.stderr else ""
            raise UserError(said.strip().splitlines()[-1] if said.strip() else "the run failed")
    return most, together


def tokenising(folder: Path, megabytes: float, tokenizer: Tokenizer) -> list[Row]:
    """Our token shards' way beside `tokenizers` alone and tiktoken over the same vocabulary."""
    texts = [document.text for document in documents(folder, megabytes)[0]]
    size = sum(len(text.encode()) for text in texts) / 1e6
    backend = tokenizer.backend
    ways: dict[str, Callable[[], list[list[int]]]] = {
        "codegen25, a document at a time": lambda: [tokenizer.encode(text) for text in texts],
        "tokenizers, a batch": lambda: [
            e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)
        ],
    }
    encoding = _tiktoken(tokenizer)
    if encoding is not None:
        ways["tiktoken, the same vocabulary, a batch"] = lambda: encoding.encode_ordinary_batch(
            texts, num_threads=2
        )
    times: dict[str, list[float]] = {name: [] for name in ways}
    ids: dict[str, list[list[int]]] = {}
    for _ in range(REPEATS):
        for name, way in ways.items():
            start = time.perf_counter()
            ids[name] = way()
            times[name].append(time.perf_counter() - start)
    ours = next(iter(ids.values()))
    return [
        {
            "tokeniser": name,
            "MB/s": size / statistics.median(times[name]),
            "documents equal to ours": sum(a == b for a, b in zip(ours, ids[name], strict=True)),
            "documents": len(texts),
        }
        for name in ways
    ]


def _tiktoken(tokenizer: Tokenizer) -> Any:
    """Our vocabulary as a tiktoken encoding, ids for ranks; None without tiktoken."""
    try:
        import tiktoken
    except ImportError:
        return None
    byte_of = {spelled: byte for byte, spelled in byte_spelling().items()}
    ranks = {
        bytes(byte_of[character] for character in token): i
        for token, i in tokenizer.backend.get_vocab(with_added_tokens=False).items()
        if not tokenizer.is_special(i)
    }
    return tiktoken.Encoding("ours", pat_str=GPT2_SPLIT, mergeable_ranks=ranks, special_tokens={})


def corruption(recipe: Path, corpus: Path, tokenizer: Path, steps_: int = 6) -> list[Row]:
    """What composing corrupted rows costs of a training step."""
    from codegen25.train import recipe as recipes
    from codegen25.train.loop import Trainer

    overrides = {"corpus": str(corpus), "tokenizer": str(tokenizer), "init": "", "compile": "false"}
    trainer = Trainer(recipes.load(recipe, overrides), Path("unused"))
    trainer.train_step()
    composing, training = [], []
    for step in range(1, steps_ + 1):
        start = time.perf_counter()
        trainer.batch(step)
        middle = time.perf_counter()
        trainer.train_step()
        composing.append(middle - start)
        training.append(time.perf_counter() - middle)
    share = statistics.median(composing) / statistics.median(training)
    return [
        {
            "rows a step": trainer.recipe.batch,
            "composing, ms": 1000 * statistics.median(composing),
            "a step, ms": 1000 * statistics.median(training),
            "share": f"{share:.1%}",
        }
    ]
