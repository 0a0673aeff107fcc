"""The announcement's latency table: a long prompt, a few new tokens, every engine on our weights.

Greedy, `batch` different prompts at once, the cache cold. All engines of a shape are loaded before
the first is timed; they take turns, and the medians are shown beside the machine's floor. Ours is
asked as batch work is, in chunks of half a second; what is typed comes in smaller ones.

Besides: what a prompt and a step cost by the prompt's length (`contexts`), and the most memory that
ours takes (`memory`), each in a process of its own: run by itself, this file is that process.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codegen25.bench import roofline, shapes
from codegen25.bench.elsewhere import answer
from codegen25.bench.engines.peers import PEERS as ALL_PEERS
from codegen25.bench.engines.peers import NotRun, Running, start
from codegen25.bench.latency_rows import (
    Ours,
    Timed,
    floor_row,
    prompts_of,
    row_of,
    times_of,
)
from codegen25.bench.table import Row, conditions, markdown
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.infill import Format, Layout, Prompt
from codegen25.models import resolve
from codegen25.sample.engine import Engine
from codegen25.sample.native.runner import NativeKeys, NativeRunner
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request
from codegen25.weights import Weights

OURS = {"ours int8": "int8", "ours int4": "int4", "ours float32": "float32"}
PEERS = (
    "OpenVINO int8", "llama.cpp Q8_0", "llama.cpp Q4_0", "onnxruntime-genai int4",
    "transformers fp32",
)  # fmt: skip
NEW = (1, 16, 32, 64)
STEPS = 32
"""Steps that are timed at each length of a prompt."""
SPARE = 300
"""Megabytes that ours may take beside its weights and its cache."""


def run(
    shapes_: Sequence[str], context: int, batch: int, new: Sequence[int], rounds: int, threads: int,
    peers: Sequence[str] | None, peers_python: str, contexts: Sequence[int] = (),
    plot: Path | None = None,
) -> None:  # fmt: skip
    """Print the floor's measures and a table a shape: of `contexts`, if there are any."""
    if min(context, batch, rounds, *new, *contexts) < 1 or threads < 0:
        raise UserError("context, batch, new tokens and rounds are at least 1, threads 0 or more")
    threads = threads or len(os.sched_getaffinity(0))
    usual = () if contexts else PEERS
    chosen = [each for each in (usual if peers is None else peers) if each != "none"]
    if unknown := [each for each in chosen if each not in ALL_PEERS]:
        raise UserError(f"peer {unknown[0]!r} is unknown; there are {', '.join(ALL_PEERS)}")
    made = conditions(("numpy", "torch"))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}")
    floor = roofline.measure(threads)
    print(f"\n## The machine\n\n{markdown([floor.row()])}", end="", flush=True)
    for shape in shapes_ if contexts else ():
        rows = by_context(shape, contexts, batch, rounds, threads, chosen, peers_python, floor)
        what = f"{shape}, {batch} {'prompt' if batch == 1 else 'prompts'}"
        print(f"\n## By the prompt's length: {what}\n\n{markdown(rows)}", end="", flush=True)
        if plot is not None:
            print(f"\n![{what}]({draw(rows, shape, plot)[0].name})")
    for shape in shapes_ if not contexts else ():
        rows = table(shape, context, batch, rounds, threads, chosen, peers_python, floor, new)
        what = f"{shape}, {batch} prompts of {context:,} tokens"
        print(f"\n## Latency: {what}\n\n{markdown(rows)}", end="", flush=True)


def table(
    shape: str, context: int, batch: int, rounds: int, threads: int, peers: Sequence[str],
    peers_python: str, floor: roofline.Roofline, new: Sequence[int] = NEW,
) -> list[Row]:  # fmt: skip
    """Milliseconds by engine and count of new tokens, the floor's row first."""
    config = shapes.named(shape)
    with ExitStack() as stack:
        engines = _engines(stack, shape, tuple(OURS), peers, peers_python, threads, context)
        prompts = prompts_of(config, context, batch)
        times = times_of(engines, prompts, new, rounds)
    rows: list[Row] = [floor_row(floor, config, context, batch, new)]
    rows += [row_of(name, engine, times.get(name, {}), new) for name, engine in engines.items()]
    return rows


def by_context(
    shape: str, contexts: Sequence[int], batch: int, rounds: int, threads: int,
    peers: Sequence[str], peers_python: str, floor: roofline.Roofline,
) -> list[Row]:  # fmt: skip
    """Milliseconds of the prompts and of a step after them: a row a length, medians."""
    config = shapes.named(shape)
    with ExitStack() as stack:
        engines = _engines(
            stack, shape, ("ours int8",), peers, peers_python, threads, max(contexts)
        )
        prompts = {context: prompts_of(config, context, batch) for context in contexts}
        found = _by_context(engines, prompts, rounds)
    rows: list[Row] = []
    for context in contexts:
        row: dict[str, Any] = {"context": context}
        for i, measure in enumerate(("prompt", "a step")):
            least = (floor.prefill, floor.step)[i](config, context, batch)
            row[f"floor, {measure}, ms"] = 1000 * least
            for name in engines:
                values = [pair[i] for pair in found.get((context, name), [])]
                row[f"{name}, {measure}, ms"] = statistics.median(values) if values else "not run"
        rows.append(row)
    return rows


def _by_context(
    engines: dict[str, Timed | str], prompts: dict[int, list[list[int]]], rounds: int
) -> dict[tuple[int, str], list[tuple[float, float]]]:
    """Milliseconds of prompts and of a step, a pair a round; the first round is not measured."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    order = [min(prompts), *[*prompts] * rounds]
    for (place, context), name in itertools.product(enumerate(order), engines):
        if isinstance(engine := engines[name], str):
            continue
        try:
            pair = _prompt_and_step(engine, prompts[context])
            if place:
                found.setdefault((context, name), []).append(pair)
        except NotRun as reason:
            engines[name] = str(reason)
    return found


def _prompt_and_step(engine: Timed, prompts: Sequence[Sequence[int]]) -> tuple[float, float]:
    prompt = engine.generate(prompts, 1)["ms"]
    whole = engine.generate(prompts, 1 + STEPS)
    return prompt, whole.get("step_ms", (whole["ms"] - prompt) / STEPS)


def draw(rows: Sequence[Row], shape: str, out: Path) -> list[Path]:
    """The table of `by_context` as two plots side by side, `out`-SHAPE as PNG and SVG."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UserError("--plot needs matplotlib; pip install 'codegen25[train]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for axes, measure in zip(both, ("prompt", "a step"), strict=True):
        for name in (key for key in rows[0] if key.endswith(f", {measure}, ms")):
            points = [(row["context"], row[name]) for row in rows if row[name] != "not run"]
            if not points:
                continue
            engine = name.removesuffix(f", {measure}, ms")
            style = ":" if engine == "floor" else "-"
            axes.plot(*zip(*points, strict=True), style, marker="o", markersize=3.5, label=engine)
        axes.set_title(f"{shape}: {measure}", fontsize=10)
        axes.set_xlabel("tokens of the prompt")
        axes.set_ylabel("milliseconds")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    written = [out.with_name(f"{out.name}-{shape}.{ending}") for ending in ("png", "svg")]
    for path in written:
        undated = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=160, metadata=undated)
    plt.close(figure)
    return written


# ------------------------------------------------------------------------------------------ memory


def lengths(text: str) -> list[int]:
    """The numbers of "256,1000"."""
    try:
        return [int(each) for each in text.split(",") if each.strip()]
    except ValueError as error:
        raise UserError(f"contexts are {text!r}; write lengths like 256,1000,2000") from error


def run_memory(names: Sequence[str], threads: int) -> None:
    """Print the table of `memory`."""
    made = conditions(("numpy",))
    print(f"{made['machine']}, Python {made['python']}\n\n## Memory\n")
    print(markdown(memory(names, threads)), end="")


def memory(names: Sequence[str], threads: int) -> list[Row]:
    """The most resident memory of ours, a fresh process each, of "MODEL" or "SHAPE", "… int4"."""
    rows: list[Row] = []
    for name in names:
        model, _, kind = name.partition(" ")
        found = answer(sys.executable, __file__, model, kind or "int8", str(threads))
        if "missing" in found:
            raise UserError(f"{name}: {found['missing']}")
        rows.append({"model": name, **found})
    return rows


def footprint(model: str, kind: str, threads: int, prompt: int = 256) -> dict[str, Any]:
    """Megabytes of this process with a model loaded and its cache, of one context, full."""
    if model in shapes.SHAPES:
        runner: NativeRunner = shapes.NoiseRunner(shapes.named(model), kind, threads)
        tokenizer = shapes.synthetic_tokenizer(runner.config.vocab_size)
        form = Format.of(tokenizer, {})
    else:
        directory = Directory.read(resolve(model))
        weights = Weights(directory.folder, directory.config)
        runner = NativeRunner(directory.config, weights, kind, threads)
        tokenizer, form = directory.tokenizer, directory.form
    config = runner.config
    bound = runner.bytes_of(config.max_position_embeddings)
    engine = Engine(runner, tokenizer, form, Path(model), -(-bound // 1_000_000))
    ids = prompts_of(config, min(prompt, config.max_position_embeddings // 2), 1)[0]
    end = frozenset([config.vocab_size])
    done = engine.wait(engine.submit(Request(Prompt(ids, end, Layout.CAUSAL), 17, Sampling())))
    held = [slot.keys for slot in engine.cache.slots]
    held.append(runner.allocate(engine.context - sum(each.capacity for each in held)))
    for each in held:  # as full as it may be
        assert isinstance(each, NativeKeys)
        each.store.fill(1)
    ours, peak = (runner.weight_bytes + engine.cache.bound) / 1e6, peak_resident() / 1e6
    return {
        "weights, MB": runner.weight_bytes / 1e6,
        "cache, MB": engine.cache.bound / 1e6,
        "peak resident, MB": peak,
        "beside both, MB": peak - ours,
        "prompt, tokens/s": 1000 * len(ids) / done.prefill_ms,
        "a step, ms": done.decode_ms / 16,
    }


def peak_resident() -> int:
    """Bytes of memory that this process held at most."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource  # what a parent held counts too where there is no better

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


# ----------------------------------------------------------------------------------------- engines


def _engines(
    stack: ExitStack, shape: str, ours: Sequence[str], peers: Sequence[str], peers_python: str,
    threads: int, context: int,
) -> dict[str, Timed | str]:  # fmt: skip
    """Ours and the peers with the same random weights, loaded; or why one is not."""
    work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder = work / shape
    shapes.write(folder, shapes.named(shape))
    engines: dict[str, Timed | str] = {
        name: Ours.load(folder, OURS[name], threads) for name in ours
    }
    for name in peers:
        engines[name] = _started(stack, name, folder, work, peers_python, threads, context)
    return engines


def _started(
    stack: ExitStack, name: str, folder: Path, work: Path, python: str, threads: int, context: int
) -> Running | str:
    """A peer, or why it can't run."""
    try:
        return stack.enter_context(
            start(name, folder, work, python, threads=threads, context=context + max(NEW) + 16)
        )
    except NotRun as reason:
        return str(reason)


if __name__ == "__main__":
    print(json.dumps(footprint(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
