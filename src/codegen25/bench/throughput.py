"""Samples for an evaluation: many answers to each of many prompts, beside transformers' generate.

The same prompts, count of samples, temperature, top-p and length; ends are not heeded, so both
write as many tokens. Ours in one process, and in one a core, as `eval` asks a small model (the
start of the processes is counted). Run by itself, this file is the peer: it needs torch and
transformers alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codegen25.sample.engine import Engine
    from codegen25.sample.request import Request

NEW, BATCH = 64, 32


def run(
    humaneval: Path, model: str, prompts: int, samples: int, threads: int, peers_python: str
) -> None:
    """Print the table."""
    from codegen25.bench.table import conditions, markdown
    from codegen25.errors import UserError

    if min(prompts, samples) < 1 or threads < 0:
        raise UserError("prompts and samples are at least 1, threads 0 or more")
    threads = threads or len(os.sched_getaffinity(0))
    made = conditions(("numpy", "torch", "transformers"))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}\n")
    rows = table(humaneval, model, prompts, samples, threads, peers_python)
    print(markdown(rows), end="")


def table(
    humaneval: Path, model: str, prompts: int, samples: int, threads: int, peers_python: str
) -> list[dict[str, Any]]:
    """Tokens a second by engine."""
    from codegen25.bench.elsewhere import answer
    from codegen25.evaluate.data import read
    from codegen25.evaluate.processes import in_processes
    from codegen25.export.stored import readable
    from codegen25.infill import Layout, Prompt
    from codegen25.models import resolve
    from codegen25.sample.engine import Engine, Settings
    from codegen25.sample.options import Sampling
    from codegen25.sample.request import Priority, Request

    folder = resolve(model)
    rows: list[dict[str, Any]] = []
    ids: list[list[int]] = []
    for kind in ("int8", "float32"):
        engine = Engine.load(folder, Settings("cpu", kind, threads))
        tasks = read(humaneval).tasks[:prompts]
        ids = [engine.tokenizer.encode(task.given) for task in tasks]
        endless = frozenset([engine.runner.config.vocab_size])
        asked = [
            Request(
                Prompt(each, endless, Layout.CAUSAL), NEW, Sampling(0.8, 0.95), f"{i}/{k}",
                priority=Priority.BATCH,
            )
            for i, each in enumerate(ids)
            for k in range(samples)
        ]  # fmt: skip
        begun = time.perf_counter()
        tokens = sum(_tokens(engine, asked, None))
        rows.append(_row(f"ours {kind}, one process", tokens, time.perf_counter() - begun))
        load = partial(Engine.load, folder, Settings("cpu", kind, 1))
        begun = time.perf_counter()
        tokens = sum(in_processes(load, _tokens, asked, None, threads))
        rows.append(_row(f"ours {kind}, {threads} processes", tokens, time.perf_counter() - begun))
    order: dict[str, Any] = {"ids": ids, "samples": samples, "threads": threads}
    with tempfile.TemporaryDirectory() as work:
        order["folder"] = str(readable(folder, Path(work) / "wide", "f32"))
        found = answer(peers_python, __file__, json.dumps(order))
    if "missing" in found:
        rows.append({"engine": f"transformers (not run: {found['missing']})", "tokens/s": ""})
    else:
        rows.append(_row("transformers generate, float32", found["tokens"], found["seconds"]))
    return rows


def _tokens(engine: Engine, asked: Sequence[Request], _: None) -> Iterator[int]:
    """How many tokens each answer took."""
    return (completion.tokens for _, completion in engine.answer_all(asked))


def _row(engine: str, tokens: int, seconds: float) -> dict[str, Any]:
    return {"engine": engine, "tokens/s": tokens / seconds, "tokens": tokens, "seconds": seconds}


def _peer(order: dict[str, Any]) -> dict[str, Any]:
    """transformers' generate, `BATCH` samples of a prompt at once."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(order["threads"])
    model: Any = AutoModelForCausalLM.from_pretrained(order["folder"], dtype=torch.float32)
    tokens, begun = 0, time.perf_counter()
    for ids in order["ids"]:
        left = order["samples"]
        while left:
            count = min(BATCH, left)
            out = model.generate(
                torch.tensor([ids]), do_sample=True, temperature=0.8, top_p=0.95, top_k=0,
                num_return_sequences=count, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=0,
            )  # fmt: skip
            tokens += count * (out.shape[1] - len(ids))
            left -= count
    return {"tokens": tokens, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    print(json.dumps(_peer(json.loads(sys.argv[1]))))
