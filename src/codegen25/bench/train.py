"""Training side by side: ours, Hugging Face's Trainer, litgpt's model and a plain loop.

All train a LLaMA of one shape on the rows of one corpus, in the number format that is faster here,
rounds interleaved, each engine in a process of its own; compiling and the first steps do not count.
The peers read rows made beforehand, left to right; ours composes its own, with span
corruption, while it trains. The peers run eagerly, their default; ours is compiled
unless told otherwise. Each row says which, with the seed and the versions of its own Python.

Peers: `pip install torch transformers accelerate litgpt` into an environment of their own, whose
Python is named; this file is run there by itself. The absent are named as such.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from codegen25.config import ModelConfig

SKIPPED = 3
"""Steps before the clock starts."""
CONTEXT, SEED = 256, 0
PACKAGES = {
    "codegen25": ("torch",),
    "HF Trainer": ("torch", "transformers", "accelerate"),
    "litgpt": ("torch", "litgpt"),
    "plain loop": ("torch", "transformers"),
}
"""What an engine is made of; their versions go into its row."""

Ticks = list[float]


def batches(asked: dict[str, Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and targets (batch, context) without end, the same for every peer."""
    rows = np.load(asked["rows"])
    at = 0
    while True:
        part = torch.from_numpy(rows[np.arange(at, at + asked["batch"]) % len(rows)]).long()
        yield part[:, :-1], part[:, 1:]
        at += asked["batch"]


def plain(asked: dict[str, Any]) -> Ticks:
    """A loop as in nanoGPT: eager, AdamW, one micro-batch after the other."""
    model = _transformers(asked)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    dtype = getattr(torch, asked["dtype"])
    return _loop(asked, model, optimizer, dtype, lambda x: model(input_ids=x).logits)


def litgpt(asked: dict[str, Any]) -> Ticks:
    """litgpt's model in the loop of its `pretrain`: eager unless asked, AdamW, autocast."""
    from litgpt.config import Config
    from litgpt.model import GPT

    config = Config(
        block_size=asked["context"], vocab_size=asked["vocabulary"],
        padded_vocab_size=asked["vocabulary"], n_layer=asked["layers"], n_head=asked["heads"],
        n_embd=asked["hidden"], n_query_groups=asked["heads"], rotary_percentage=1.0,
        parallel_residual=False, bias=False, norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP", intermediate_size=asked["feed_forward"],
    )  # fmt: skip
    model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    return _loop(asked, model, optimizer, getattr(torch, asked["dtype"]), model)


def _loop(
    asked: dict[str, Any],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype,
    logits: Callable[[torch.Tensor], torch.Tensor],
) -> Ticks:
    ticks = [time.perf_counter()]
    for (x, y), _ in zip(batches(asked), range(asked["steps"]), strict=False):
        micro = asked["micro"]
        for i in range(0, len(x), micro):
            with torch.autocast("cpu", dtype, dtype != torch.float32):
                out = logits(x[i : i + micro])
            loss = torch.nn.functional.cross_entropy(
                out.flatten(0, 1).float(), y[i : i + micro].flatten()
            )
            (loss * micro / len(x)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ticks.append(time.perf_counter())
    return ticks


def _transformers(asked: dict[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=asked["vocabulary"], hidden_size=asked["hidden"],
            intermediate_size=asked["feed_forward"], num_hidden_layers=asked["layers"],
            num_attention_heads=asked["heads"], num_key_value_heads=asked["heads"],
            max_position_embeddings=asked["context"], tie_word_embeddings=True,
        )
    )  # fmt: skip


def trainer(asked: dict[str, Any]) -> Ticks:
    """Hugging Face's Trainer with its fused AdamW."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    rows = np.load(asked["rows"])
    size = asked["batch"] * asked["steps"]
    picked = rows[np.arange(size) % len(rows)][:, :-1].astype(np.int64)
    data = [{"input_ids": row, "labels": row} for row in picked]
    ticks: Ticks = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *arguments: Any, **named: Any) -> None:
            if not ticks:
                ticks.append(time.perf_counter())

        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            ticks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, max_steps=asked["steps"], per_device_train_batch_size=asked["micro"],
            gradient_accumulation_steps=asked["batch"] // asked["micro"],
            bf16=asked["dtype"] == "bfloat16", use_cpu=True, report_to=[], save_strategy="no",
            logging_strategy="no", optim="adamw_torch_fused", disable_tqdm=True,
            seed=asked["seed"], data_seed=asked["seed"],
            **asked.get("arguments", {}),
        )  # fmt: skip
        model = _transformers(asked)
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=[Clock()]).train()
    if "save" in asked:
        torch.save(model.state_dict(), asked["save"])
    return ticks


def ours(asked: dict[str, Any]) -> Ticks:
    """`codegen25 train` as a recipe asks for it: span corruption, Muon and AdamW."""
    from codegen25.train.loop import Trainer as Ours
    from codegen25.train.recipe import Recipe, Shape

    run = Ours(
        Recipe(
            asked["corpus"], asked["tokenizer"], size=asked["size"], batch=asked["batch"],
            micro_batch=asked["micro"], dtype=asked["dtype"], compile=asked["compile"],
            epochs=1000.0, shape=Shape(context=asked["context"]), seed=asked["seed"],
        ),
        Path("unused"),
    )  # fmt: skip
    ticks = [time.perf_counter()]
    for _ in range(asked["steps"]):
        run.train_step()
        ticks.append(time.perf_counter())
    return ticks


ENGINES: dict[str, Callable[[dict[str, Any]], Ticks]] = {
    "codegen25": ours, "HF Trainer": trainer, "litgpt": litgpt, "plain loop": plain,
}  # fmt: skip


def run_alone(engine: str, asked: dict[str, Any]) -> dict[str, Any]:
    """One engine here: seconds of each step that counts, or of the whole run's, and versions."""
    torch.manual_seed(asked["seed"])
    try:
        ticks = ENGINES[engine](asked)
    except ImportError as error:
        return {"missing": f"not installed ({error})"}
    skipped = 0 if asked.get("whole") else SKIPPED
    return {
        "seconds": [b - a for a, b in itertools.pairwise(ticks)][skipped:],
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES[engine]),
    }


# ------------------------------------------------------------------------------------ the table


def asked_of(
    corpus: Path, size: str, batch: int, steps: int, compiling: bool
) -> tuple[dict[str, Any], ModelConfig]:
    """What every engine is asked: the shape of a size, and its batch unless one is given."""
    from codegen25.tokenizer import Tokenizer
    from codegen25.train import precision
    from codegen25.train.recipe import Recipe, Shape

    path = str(corpus / "tokenizer.json")
    vocabulary = Tokenizer.load(corpus / "tokenizer.json").vocab_size
    recipe = Recipe(str(corpus), path, size=size, batch=batch, shape=Shape(context=CONTEXT))
    recipe = recipe.resolved(vocabulary, "cpu")
    config = recipe.shape.config(vocabulary)
    return {
        "corpus": str(corpus), "tokenizer": path, "context": CONTEXT,
        "batch": recipe.batch, "micro": recipe.micro_batch, "steps": steps,
        "layers": config.num_hidden_layers, "hidden": config.hidden_size,
        "heads": config.num_attention_heads, "compile": compiling, "size": size,
        "feed_forward": config.intermediate_size, "vocabulary": vocabulary,
        "dtype": str(precision.choose("auto", "cpu")).removeprefix("torch."), "seed": SEED,
    }, config  # fmt: skip


def write_rows(asked: dict[str, Any], path: Path) -> None:
    """The rows that the peers read: text left to right, inputs and one target more."""
    from codegen25.data.shards import TextShard
    from codegen25.infill import Corruption
    from codegen25.tokenizer import Tokenizer
    from codegen25.train.rows import Rows

    tokenizer = Tokenizer.load(Path(asked["tokenizer"]))
    shard = TextShard(Path(asked["corpus"]))
    rows = Rows(shard, tokenizer, asked["context"], Corruption(rate=0.0), 0)
    made = [rows.arrays(i, 0)[0] for i in range(min(len(rows), asked["batch"] * asked["steps"]))]
    np.save(path, np.stack([np.append(each, each[-1:]) for each in made]).astype(np.int32))


def side_by_side(
    corpus: Path, size: str, batch: int, steps: int, rounds: int, peers_python: str,
    compiling: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row an engine: tokens a second, and the share of the products' rate measured between."""
    from codegen25.bench.elsewhere import answer
    from codegen25.train import precision

    asked, config = asked_of(corpus, size, batch, steps + SKIPPED, compiling)
    batch, context, dtype = asked["batch"], CONTEXT, getattr(torch, asked["dtype"])
    times: dict[str, list[float]] = {name: [] for name in ENGINES}
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}
    rates = []
    with tempfile.TemporaryDirectory() as scratch:
        asked["rows"] = str(Path(scratch) / "rows.npy")
        write_rows(asked, Path(asked["rows"]))
        for _ in range(rounds):
            for engine in ENGINES:
                rates.append(precision.gemm_rate(dtype))
                python = sys.executable if engine == "codegen25" else peers_python
                done = answer(python, __file__, engine, json.dumps(asked))
                times[engine] += done.get("seconds", [])
                versions[engine] = done.get("versions", "")
                if "missing" in done:
                    missing[engine] = done["missing"]
    peak = max(rates)
    tokens = batch * context
    table = []
    mine = statistics.median(times["codegen25"])
    work = config.flops_per_token(context) * tokens
    for engine, seconds in times.items():
        step = statistics.median(seconds) if seconds else float("nan")
        share = f"{work / step / peak:.0%}" if seconds else missing.get(engine, "")
        table.append(
            {
                "engine": engine,
                "parameters, M": config.parameters / 1e6,
                "format": asked["dtype"],
                "run": "compiled" if compiling and engine == "codegen25" else "eager",
                "seed": asked["seed"],
                "tokens/s": tokens / step,
                "of the products' rate": share,
                "ours is": f"{step / mine:.2f} ×" if seconds else "",
                "versions": versions[engine],
            }
        )  # fmt: skip
    return [*table, {**dict.fromkeys(table[0], ""), "engine": "products of 1,024 (the floor)",
                     "of the products' rate": f"{peak / 1e9:.0f} GFLOP/s"}]  # fmt: skip


def run(
    corpus: Path, sizes: Sequence[str], batch: int, steps: int, rounds: int, race_tokens: float,
    peers_python: str, compiling: bool, out: Path | None = None,
) -> None:  # fmt: skip
    """Print tokens a second of training, what a loss takes, and a race; write all to `out`."""
    from codegen25.bench import loss
    from codegen25.bench.race import race
    from codegen25.bench.table import Row, conditions, markdown
    from codegen25.errors import UserError

    if min(steps, rounds) < 1 or batch < 0 or race_tokens < 0:
        raise UserError("steps and rounds are at least 1, batch and race-tokens at least 0")
    made = conditions(("torch", "numpy", "tokenizers"))
    print(f"{made['machine']}, Python {made['python']}, torch {made['versions']['torch']}")
    tables: dict[str, Sequence[Row]] = {}

    def show(title: str, rows: Sequence[Row]) -> None:
        tables[title] = rows
        print(f"\n## {title}\n\n{markdown(rows)}", end="", flush=True)

    for size in sizes:
        found = side_by_side(corpus, size, batch, steps, rounds, peers_python, compiling)
        show(f"Tokens a second: {size}", found)
    where = f"{loss.POSITIONS:,} positions, width {loss.HIDDEN}, {loss.VOCABULARY:,} ids"
    show(f"The loss: {where}", loss.table())
    if race_tokens:
        found = race(corpus, sizes[0], batch, race_tokens, peers_python)
        show(f"To the same held-out figure: {sizes[0]}", found)
    if out is not None:
        given = {"steps": steps, "rounds": rounds, "batch": batch, "race_tokens": race_tokens}
        whole = {**made, "given": {**given, "seed": SEED}, "tables": tables}
        out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    print(json.dumps(run_alone(sys.argv[1], json.loads(sys.argv[2]))))
