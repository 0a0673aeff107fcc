"""The latency table on a GPU, whatever fits its memory: weights are drawn where they are used.

As in `latency`: greedy, different prompts at once, the cache cold, engines in turns, medians, the
floor of each number type beside them. The announcement's own figures stand there as published.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from codegen25 import checkpoint
from codegen25.bench import shapes
from codegen25.bench.latency_rows import (
    Ours,
    Timed,
    column,
    prompts_of,
    row_of,
    times_of,
)
from codegen25.bench.roofline import attention, best, block_weights, key_bytes
from codegen25.bench.table import Row, conditions, markdown
from codegen25.config import ModelConfig
from codegen25.device import choose
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.sample import quantized
from codegen25.sample.engine import Engine
from codegen25.sample.joined import join
from codegen25.sample.torch_load import blank
from codegen25.sample.torch_runner import TorchRunner

KINDS = {"bfloat16": 2.0, "int8": 1.0, "fp8": 1.0}
"""Number types of the blocks' weights, and their bytes."""
PUBLISHED = {16: 522.0, 32: 760.0, 64: 1226.0}
"""Milliseconds of CodeGen2.5-7B by its announcement: 2,000 tokens, batch 2, hardware not named."""
SIDE, ARRAY = 8192, 1 << 31
SMALL_SIDE, SMALL_ARRAY = 512, 1 << 24


def run(
    names: Sequence[str], context: int, batch: int, new: Sequence[int], rounds: int, device: str
) -> None:  # fmt: skip
    """Print the device's rates and a table a shape."""
    if min(context, batch, rounds, *new) < 1:
        raise UserError("context, batch, new tokens and rounds are at least 1")
    device = choose(device)
    for config in map(shapes.named, names):
        if (longest := context + max(new)) > config.max_position_embeddings:
            raise UserError(f"{longest} tokens exceed the shape's {config.max_position_embeddings}")
    made = conditions(("torch",))
    print(f"{title(device)}, torch {made['versions']['torch']}, Python {made['python']}")
    floor = measure(device)
    print(f"\n## The device\n\n{markdown([floor.row()])}", end="", flush=True)
    for name in names:
        found = table(name, context, batch, new, rounds, device, floor)
        what = f"{name}, {batch} prompts of {context:,} tokens"
        print(f"\n## Latency: {what}\n\n{markdown(found)}", end="", flush=True)


def table(
    name: str, context: int, batch: int, new: Sequence[int], rounds: int, device: str,
    floor: Floor,
) -> list[Row]:  # fmt: skip
    """Milliseconds by engine and count of new tokens; each number type's floor before its row."""
    config = shapes.named(name)
    prompts = prompts_of(config, context, batch)
    rows: list[Row] = []
    if (name, context, batch) == ("7b", 2000, 2):
        rows.append(published(new))
    for kind in floor.products:
        rows.append(floor.of(kind, config, context, batch, new))
        made: list[tuple[str, Callable[[], Timed | str]]] = [
            (f"ours {kind}", partial(ours, config, device, kind))
        ]
        if kind == "bfloat16":
            made.append((f"transformers {kind}", partial(theirs, config, device)))
        rows += beside_each_other(made, prompts, new, rounds)
        gc.collect()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    return rows


def beside_each_other(
    made: Sequence[tuple[str, Callable[[], Timed | str]]], prompts: list[list[int]],
    new: Sequence[int], rounds: int,
) -> list[Row]:  # fmt: skip
    """The rows of engines that are loaded together and take turns."""
    engines: dict[str, Timed | str] = {}
    for name, load in made:
        try:
            engines[name] = engine = load()
            if not isinstance(engine, str):  # graphs, pages and libraries are warm after it
                engine.generate(prompts, max(new))
        except torch.OutOfMemoryError:
            engines[name] = "it does not fit the device's memory"
    times = times_of(engines, prompts, new, rounds)
    return [row_of(name, engines[name], times.get(name, {}), new) for name in engines]


def published(new: Sequence[int]) -> Row:
    """The announcement's row."""
    cells = {column(count): PUBLISHED.get(count, "") for count in new}
    return {"engine": "CodeGen2.5-7B as published, hardware unknown", **cells, "a step, ms": ""}


def ours(config: ModelConfig, device: str, kind: str) -> Ours:
    """Our engine over random weights of a number type."""
    rounding = kind if kind in quantized.DTYPES else ""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in drawn(config, device):
        state |= quantized.tensors(name, tensor, rounding)
    tokenizer = shapes.synthetic_tokenizer(config.vocab_size)
    model = join(checkpoint.fill(blank(config, device, rounding), state))
    return Ours(Engine(TorchRunner(model, kind=kind), tokenizer, Format.of(tokenizer, {}), Path()))


class Transformers:
    """transformers' `generate` with SDPA, in this process."""

    def __init__(self, config: ModelConfig, device: str) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        names = checkpoint.config_json(
            config, shapes.synthetic_tokenizer(config.vocab_size), torch.bfloat16
        )
        with torch.device("meta"):
            model: Any = LlamaForCausalLM(LlamaConfig(**names))
        model.load_state_dict(dict(drawn(config, device)), assign=True, strict=False)
        model.tie_weights()
        rotary = type(model.model.rotary_emb)  # its angles are in no file
        model.model.rotary_emb = rotary(model.config).to(device)
        self.model = model.eval()
        self.device = device

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], new: int) -> dict[str, Any]:
        """See `latency_rows.Timed`."""
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


def drawn(config: ModelConfig, device: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Random bfloat16 tensors on the device, scaled like `shapes.RandomWeights`."""
    rng = torch.Generator(device).manual_seed(0)
    for name, shape in config.tensors().items():
        values = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(generator=rng)
        yield name, values.mul_(shape[-1] ** -0.5) if len(shape) > 1 else torch.ones_like(values)


# ------------------------------------------------------------------------------------- the floor


@dataclass(frozen=True)
class Floor:
    """What the device could do at best: operations a second by number type, bytes a second."""

    products: dict[str, float]
    bandwidth: float

    def row(self) -> Row:
        """For a table."""
        rates = {f"{kind}, TFLOP/s": rate / 1e12 for kind, rate in self.products.items()}
        return {**rates, "reading, GB/s": self.bandwidth / 1e9}

    def of(
        self, kind: str, config: ModelConfig, context: int, batch: int, new: Sequence[int]
    ) -> Row:
        """Blocks in a number type; attention, embedding and head in bfloat16."""
        blocks, head = block_weights(config), config.vocab_size * config.hidden_size
        prompt = 2.0 * blocks * context / self.products[kind]
        prompt += attention(config, context) / self.products["bfloat16"]
        read = blocks * KINDS[kind] + 2.0 * head + key_bytes(config, context, batch)
        step = read / self.bandwidth
        cells = {column(n): 1000 * (batch * prompt + (n - 1) * step) for n in new}
        return {"engine": f"floor {kind}", **cells, "a step, ms": 1000 * step}


def title(device: str) -> str:
    """The card's name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def measure(device: str, rounds: int = 5) -> Floor:
    """The best of a few rounds of large products of each number type, and of reading."""
    large = device.startswith("cuda")
    side, array = (SIDE, ARRAY) if large else (SMALL_SIDE, SMALL_ARRAY)

    wait = partial(synchronize, device)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    products = {
        kind: 2.0 * side**3 / best(product(a, kind), rounds, wait)
        for kind in KINDS
        if quantized.multiplies(kind, device)
    }
    read = torch.ones(array // 4, device=device)
    to = torch.empty_like(read)
    read_once, copied = best(read.sum, rounds, wait), best(lambda: to.copy_(read), rounds, wait)
    return Floor(products, max(array / read_once, 2 * array / copied))


def product(a: torch.Tensor, kind: str) -> Callable[[], object]:
    """a a^T in a number type, nothing but the product."""
    if kind == "bfloat16":
        return lambda: a @ a.T
    small, _ = quantized.rounded(a, quantized.DTYPES[kind])
    if kind == "int8":
        return lambda: torch._int_mm(small, small.T)
    one = torch.ones((), device=a.device)
    return lambda: torch._scaled_mm(
        small, small.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16
    )


def synchronize(device: str) -> None:
    """Wait for what was asked of the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
