"""The latency table on a GPU, whatever fits its memory: weights are drawn where they are used.

As in `latency`: greedy, different prompts at once, the cache cold, engines in turns, medians, the
floor of each number type beside them. The announcement's own figures stand there as published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from codegen25 import checkpoint
from codegen25.bench import shapes
from codegen25.bench.latency_rows import (
    Ours,
    Timed,
    column,
    floor_row,
    prompts_of,
    row_of,
    times_of,
)
from codegen25.bench.roofline import Roofline
from codegen25.bench.table import Row, conditions, markdown
from codegen25.config import ModelConfig
from codegen25.device import choose
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.sample import quantized
from codegen25.sample.engine import Engine
from codegen25.sample.torch_runner import TorchRunner

KINDS = {"bfloat16": 2.0, "int8": 1.0, "fp8": 1.0}
"""Number types of the blocks' weights, and their bytes."""
PUBLISHED = {16: 522.0, 32: 760.0, 64: 1226.0}
"""Milliseconds of CodeGen2.5-7B by its announcement: 2,000 tokens, batch 2, hardware not named."""
SIDE, ARRAY = 8192, 1 << 31
SMALL_SIDE, SMALL_ARRAY = 512, 1 << 24


def run(
    names: Sequence[str], context: int, batch: int, new: Sequence[int], rounds: int, device: str,
    kinds: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print the device's rates and a table a shape."""
    if min(context, batch, rounds, *new) < 1:
        raise UserError("context, batch, new tokens and rounds are at least 1")
    device = choose(device)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UserError(f"weights {unknown[0]!r} are unknown; there are {', '.join(KINDS)}")
    for config in map(shapes.named, names):
        if (longest := context + max(new)) > config.max_position_embeddings:
            raise UserError(f"{longest} tokens exceed the shape's {config.max_position_embeddings}")
    made = conditions(("torch",))
    print(f"{title(device)}, torch {made['versions']['torch']}, Python {made['python']}")
    floors = {kind: measure(device, kind) for kind in kinds or supported(device)}
    rows = [
        {"weights": k, "products, TFLOP/s": f.products / 1e12, "reading, GB/s": f.bandwidth / 1e9}
        for k, f in floors.items()
    ]
    print(f"\n## The device\n\n{markdown(rows)}", end="", flush=True)
    for name in names:
        found = table(name, context, batch, new, rounds, device, floors)
        what = f"{name}, {batch} prompts of {context:,} tokens"
        print(f"\n## Latency: {what}\n\n{markdown(found)}", end="", flush=True)


def table(
    name: str, context: int, batch: int, new: Sequence[int], rounds: int, device: str,
    floors: dict[str, Roofline],
) -> list[Row]:  # fmt: skip
    """Milliseconds by engine and count of new tokens; each number type's floor before its row."""
    config = shapes.named(name)
    prompts = prompts_of(config, context, batch)
    rows: list[Row] = []
    if (name, context, batch) == ("7b", 2000, 2):
        rows.append(published(new))
    for kind, floor in floors.items():
        rows.append(
            floor_row(floor, config, context, batch, new, KINDS[kind]) | {"engine": f"floor {kind}"}
        )
        engines: dict[str, Timed | str] = {f"ours {kind}": ours(config, device, kind)}
        if kind == "bfloat16":
            engines["transformers bfloat16"] = theirs(config, device)
        for engine in engines.values():
            if not isinstance(engine, str):  # graphs, pages and libraries are warm after it
                engine.generate(prompts, max(new))
        times = times_of(engines, prompts, new, rounds)
        rows += [row_of(each, engines[each], times.get(each, {}), new) for each in engines]
        engines.clear()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    return rows


def published(new: Sequence[int]) -> Row:
    """The announcement's row."""
    cells = {column(count): PUBLISHED.get(count, "") for count in new}
    return {"engine": "CodeGen2.5-7B as published, hardware unknown", **cells, "a step, ms": ""}


def ours(config: ModelConfig, device: str, kind: str) -> Ours:
    """Our engine over random weights of a number type."""
    model = checkpoint.empty_model(config)
    if kind in quantized.DTYPES:
        quantized.require_card(kind, torch.device(device))
        quantized.prepare(model, kind)
    state = drawn(config, device)
    if kind in quantized.DTYPES:
        for name in list(state):
            state |= quantized.tensors(name, state.pop(name), kind)
    tokenizer = shapes.synthetic_tokenizer(config.vocab_size)
    runner = TorchRunner(checkpoint.fill(model, state))
    return Ours(Engine(runner, tokenizer, Format.of(tokenizer, {}), Path(kind)))


class Transformers:
    """transformers' `generate` with SDPA, in this process."""

    def __init__(self, config: ModelConfig, device: str) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        names = checkpoint.config_json(
            config, shapes.synthetic_tokenizer(config.vocab_size), torch.bfloat16
        )
        with torch.device("meta"):
            model: Any = LlamaForCausalLM(LlamaConfig(**names))
        model.load_state_dict(drawn(config, device), assign=True, strict=False)
        model.tie_weights()
        rotary = type(model.model.rotary_emb)  # its angles are in no file
        model.model.rotary_emb = rotary(model.config).to(device)
        self.model = model.eval()
        self.device = device

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """See `latency.Timed`."""
        ids = torch.tensor(prompts, device=self.device)
        begun = time.perf_counter()
        self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new,
            do_sample=False, pad_token_id=0,
        ).cpu()  # fmt: skip
        return {"ms": 1000 * (time.perf_counter() - begun)}


def theirs(config: ModelConfig, device: str) -> Transformers | str:
    """The peer, or why it does not run."""
    try:
        return Transformers(config, device)
    except ImportError as error:
        return f"{error.name} is not installed"
    except torch.OutOfMemoryError:
        return "its weights do not fit beside ours"


def drawn(config: ModelConfig, device: str) -> dict[str, torch.Tensor]:
    """Random bfloat16 tensors on the device, scaled like `shapes.RandomWeights`."""
    rng = torch.Generator(device).manual_seed(0)
    made = {}
    for name, shape in config.tensors().items():
        values = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(generator=rng)
        made[name] = values.mul_(shape[-1] ** -0.5) if len(shape) > 1 else torch.ones_like(values)
    return made


# ------------------------------------------------------------------------------------- the floor


def supported(device: str) -> list[str]:
    """Number types that the device multiplies."""
    if not device.startswith("cuda"):
        return list(KINDS)
    fp8 = torch.cuda.get_device_capability(device) >= (8, 9)
    return [kind for kind in KINDS if kind != "fp8" or fp8]


def title(device: str) -> str:
    """The card's name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def measure(device: str, kind: str, rounds: int = 5) -> Roofline:
    """The rate of large products of a number type, and of reading."""
    large = device.startswith("cuda")
    side, array = (SIDE, ARRAY) if large else (SMALL_SIDE, SMALL_ARRAY)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def best(work: Callable[[], object]) -> float:
        seconds = []
        for _ in range(rounds + 1):
            synchronize(device)
            begun = time.perf_counter()
            work()
            synchronize(device)
            seconds.append(time.perf_counter() - begun)
        return min(seconds[1:])

    if kind == "bfloat16":
        seconds = best(lambda: a @ a)
    else:
        small, _ = quantized.rounded(a, quantized.DTYPES[kind])
        multiply = quantized.MULTIPLY[quantized.DTYPES[kind]]
        seconds = best(lambda: multiply(small, small))
    rate = 2.0 * side**3 / seconds
    read = torch.ones(array // 4, device=device)
    to = torch.empty_like(read)
    bandwidth = max(array / best(lambda: read.sum()), 2 * array / best(lambda: to.copy_(read)))
    return Roofline(float32=0.0, bfloat16=rate, int8=0.0, kernels=0.0, bandwidth=bandwidth)


def synchronize(device: str) -> None:
    """Wait for what was asked of the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
