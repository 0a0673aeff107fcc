"""A model computed by our kernels: int8, int4 or float32 weights, keys and values in 16 bits.

A token's logits are the same to the last bit whatever is computed beside it, in whatever chunks
its prompt came, and on however many threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from codegen25.config import ModelConfig
from codegen25.sample.native.build import library
from codegen25.sample.native.library import (
    LANES,
    CConfig,
    CLayer,
    CLinear,
    CRun,
    Packed,
    Stored,
    pack,
    pointer,
)  # fmt: skip
from codegen25.sample.runner import Keys, Run
from codegen25.weights import Weights

ROWS = 32
MOST_STEPS = 32
"""Greedy steps of one call at most."""


class NativeKeys(Keys):
    """One sequence's keys and values: (layers, 2, heads, capacity, channels) in the kernels' order,
    integers with `scales` (layers, 2, heads, capacity), or float32.

    Keys lie sixteen positions beside each other, so a copy takes whole panels.
    """

    def __init__(self, config: ModelConfig, capacity: int, wide: bool) -> None:
        self.capacity = -(-capacity // LANES) * LANES
        width = -(-config.head_dim // LANES) * LANES
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, self.capacity, width)
        self.store = np.zeros(shape, np.float32 if wide else np.int16)
        self.scales = np.zeros(shape[:-1], np.float32)
        self.addresses = pointer(self.store), pointer(self.scales)

    @property
    def bytes(self) -> int:
        return self.store.nbytes + self.scales.nbytes

    def copy(self, source: Keys, length: int) -> None:
        assert isinstance(source, NativeKeys)
        end = min(-(-length // LANES) * LANES, self.capacity, source.capacity)
        self.store[:, :, :, :end] = source.store[:, :, :, :end]
        self.scales[:, :, :, :end] = source.scales[:, :, :, :end]


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class NativeRunner:
    """Computes with the compiled kernels; `MissingError` where they can't be had."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, np.ndarray],
        kind: str = "int8",
        threads: int = 0,
        wide_cache: bool | None = None,
    ) -> None:
        self.config, self.kind, self.rows = config, kind, ROWS
        self.most_bytes, self.device = sys.maxsize, "cpu"
        self.threads = threads or cores()
        self._library = library()
        self._library.codegen25_model.restype = ctypes.c_void_p
        self._library.codegen25_isa.restype = ctypes.c_char_p
        self._wide = kind == "float32" if wide_cache is None else wide_cache
        self._kept: list[np.ndarray] = []
        self._packed: list[Packed] = []
        self._handle = ctypes.c_void_p(self._build(weights))
        self._logits = np.empty((ROWS, config.vocab_size), np.float32)
        self._drawn, self._first = (ctypes.c_int32 * MOST_STEPS)(), ctypes.c_double()

    def __del__(self) -> None:
        if (handle := getattr(self, "_handle", None)) is not None:
            self._library.codegen25_free(handle)

    @property
    def name(self) -> str:
        isa = self._library.codegen25_isa().decode()
        return f"{self.kind} kernels, {isa}, {self.threads} threads"

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights take; all but the embedding is read for every token."""
        return sum(each.bytes for each in self._packed) + sum(each.nbytes for each in self._kept)

    def allocate(self, capacity: int) -> NativeKeys:
        return NativeKeys(self.config, capacity, self._wide)

    def bytes_of(self, capacity: int) -> int:
        c = self.config
        whole, width = (-(-each // LANES) * LANES for each in (capacity, c.head_dim))
        heads = c.num_hidden_layers * 2 * c.num_key_value_heads
        return heads * whole * (width * (4 if self._wide else 2) + 4)

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        c_runs = (CRun * len(runs))()
        ids: list[int] = []
        wanted: list[int] = []
        for c_run, run in zip(c_runs, runs, strict=True):
            _describe(c_run, run)
            ids.extend(run.ids)
            wanted.extend(range(len(ids) - run.wanted, len(ids)))
        logits = self._logits
        if len(wanted) > len(logits):
            logits = np.empty((len(wanted), self.config.vocab_size), np.float32)
        failed = self._library.codegen25_forward(
            self._handle, c_runs, len(runs), (ctypes.c_int32 * len(ids))(*ids),
            (ctypes.c_int32 * len(wanted))(*wanted), len(wanted),
            ctypes.c_void_p(pointer(logits)),
        )  # fmt: skip
        if failed:
            raise MemoryError("no memory for this pass")
        return logits[: len(wanted)]

    def stride(
        self, run: Run, never: np.ndarray, ends: Collection[int], most: int
    ) -> tuple[list[int], float]:
        """See `Striding`; at most `MOST_STEPS`."""
        c_run, most = CRun(), min(most, MOST_STEPS)
        _describe(c_run, run, most - 1)
        assert never.dtype == np.int32 and run.ids
        count = self._library.codegen25_stride(
            self._handle, ctypes.byref(c_run), (ctypes.c_int32 * len(run.ids))(*run.ids),
            ctypes.c_void_p(pointer(never)), len(never), (ctypes.c_int32 * len(ends))(*ends),
            len(ends), most, ctypes.c_void_p(pointer(self._logits)), self._drawn,
            ctypes.byref(self._first),
        )  # fmt: skip
        if count < 0:
            raise MemoryError("no memory for this pass")
        return self._drawn[:count], self._first.value

    def packed(self, weights: Mapping[str, np.ndarray], *names: str) -> Packed:
        """The matrices of these names below each other, as the kernels take them."""
        parts = [
            Stored(weights, name) if isinstance(weights, Weights) else weights[name]
            for name in names
        ]
        return pack(parts, self.kind, self.threads)

    def _build(self, weights: Mapping[str, np.ndarray]) -> int:
        c = self.config
        # The largest come first, whose copies then lie beside little else.
        table, wide = self._embedding(weights)
        head = "model.embed_tokens" if c.tie_word_embeddings else "lm_head"
        c_head = self._pack(weights, f"{head}.weight")
        layers = (CLayer * c.num_hidden_layers)()
        for i, layer in enumerate(layers):
            self._fill(layer, f"model.layers.{i}.", weights)
        norm = self._keep(weights["model.norm.weight"])
        config = CConfig(
            c.num_hidden_layers, c.hidden_size, c.intermediate_size, c.num_attention_heads,
            c.num_key_value_heads, c.head_dim, c.vocab_size, c.max_position_embeddings,
            self._wide, wide, c.rms_norm_eps, c.rope_theta,
        )  # fmt: skip
        made: int = self._library.codegen25_model(
            ctypes.byref(config), layers, ctypes.byref(c_head), ctypes.c_void_p(table),
            ctypes.c_void_p(norm), self.threads,
        )  # fmt: skip
        return made

    def _fill(self, layer: CLayer, name: str, weights: Mapping[str, np.ndarray]) -> None:
        layer.attention_norm = self._keep(weights[f"{name}input_layernorm.weight"])
        layer.mlp_norm = self._keep(weights[f"{name}post_attention_layernorm.weight"])
        part = f"{name}self_attn."
        layer.qkv = self._pack(weights, *(f"{part}{each}_proj.weight" for each in "qkv"))
        layer.out = self._pack(weights, f"{part}o_proj.weight")
        part = f"{name}mlp."
        layer.gate_up = self._pack(weights, f"{part}gate_proj.weight", f"{part}up_proj.weight")
        layer.down = self._pack(weights, f"{part}down_proj.weight")

    def _pack(self, weights: Mapping[str, np.ndarray], *names: str) -> CLinear:
        self._packed.append(self.packed(weights, *names))
        return self._packed[-1].c

    def _keep(self, array: np.ndarray) -> int:
        self._kept.append(np.ascontiguousarray(array, np.float32))
        return pointer(self._kept[-1])

    def _embedding(self, weights: Mapping[str, np.ndarray]) -> tuple[int, bool]:
        """Address of the embedding and whether it is float32; bfloat16 if nothing is lost by it."""
        name = "model.embed_tokens.weight"
        if isinstance(weights, Weights) and weights.is_bfloat16(name):
            self._kept.append(np.array(weights.stored(name)))
            return pointer(self._kept[-1]), False
        table = np.ascontiguousarray(weights[name], np.float32)
        bits = table.view(np.uint32)
        if wide := bool((bits & 0xFFFF).any()):
            return self._keep(table), wide
        self._kept.append((bits >> 16).astype(np.uint16))
        return pointer(self._kept[-1]), wide


def _describe(c_run: CRun, run: Run, more: int = 0) -> None:
    """A run for the kernels, which may go on by `more` tokens."""
    keys = run.keys
    assert isinstance(keys, NativeKeys) and run.start + len(run.ids) + more <= keys.capacity
    c_run.cache, c_run.scales = keys.addresses
    c_run.capacity, c_run.start, c_run.count = keys.capacity, run.start, len(run.ids)
