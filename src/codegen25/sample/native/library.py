"""The kernels' C interface: structures, and weights packed for it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen25.sample.native.build import library
from codegen25.weights import Weights

KINDS = {"float32": 0, "int8": 1, "int4": 2}
GROUPS = {"float32": 1, "int8": 64, "int4": 32}
"""Inputs that share a scale."""
LANES = 16
_BITS = {"float32": 32, "int8": 8, "int4": 4}
_AT_ONCE = 1 << 24
"""Weights that are float32 at a time while they are packed."""


class CConfig(ctypes.Structure):
    """`Config` of model.cpp."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in (
            "layers", "hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab", "context",
            "wide_cache", "wide_embedding",
        )),
        ("eps", ctypes.c_float),
        ("theta", ctypes.c_float),
    ]  # fmt: skip


class CLinear(ctypes.Structure):
    """`Linear` of linear.h."""

    _fields_ = [
        ("kind", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("inputs", ctypes.c_int32),
        ("group", ctypes.c_int32),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    ]


class CLayer(ctypes.Structure):
    """`Layer` of model.cpp."""

    _fields_ = [
        ("attention_norm", ctypes.c_void_p),
        ("mlp_norm", ctypes.c_void_p),
        ("qkv", CLinear),
        ("out", CLinear),
        ("gate_up", CLinear),
        ("down", CLinear),
    ]


class CRun(ctypes.Structure):
    """`Run` of model.cpp."""

    _fields_ = [
        ("cache", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
        ("start", ctypes.c_int32),
        ("count", ctypes.c_int32),
    ]


@dataclass
class Packed:
    """A matrix as the kernels take it, and the arrays that its pointers lead to."""

    c: CLinear
    weights: np.ndarray
    scales: np.ndarray

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self.weights.nbytes + self.scales.nbytes


class Stored:
    """A matrix in its file; the rows that are asked for become float32, never all of them."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._weights, self._name = weights, name
        self.shape = weights.stored(name).shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._weights.rows(self._name, rows)


def empty(outputs: int, columns: int, kind: str) -> Packed:
    """A packed matrix of zeros."""
    group = GROUPS[kind]
    inputs = -(-columns // group) * group
    panels = -(-outputs // LANES)
    weights = np.zeros(panels * inputs * LANES * _BITS[kind] // 8, np.uint8)
    scales = np.zeros(0 if kind == "float32" else panels * inputs // group * LANES, np.float32)
    c = CLinear(KINDS[kind], outputs, inputs, group, pointer(weights), pointer(scales))
    return Packed(c, weights, scales)


def pack(parts: Sequence[np.ndarray | Stored], kind: str, threads: int) -> Packed:
    """Matrices (outputs, inputs) below each other, packed as one."""
    columns = parts[0].shape[1]
    packed = empty(sum(len(part) for part in parts), columns, kind)
    step, first = max(1, _AT_ONCE // columns), 0
    for part in parts:
        for at in range(0, len(part), step):
            rows = np.ascontiguousarray(part[at : at + step], np.float32)
            library().codegen25_pack(
                ctypes.byref(packed.c), ctypes.c_void_p(pointer(rows)), len(rows), columns, first,
                threads,
            )  # fmt: skip
            first += len(rows)
    return packed


def product(packed: Packed, x: np.ndarray, threads: int = 1, repeat: int = 1) -> np.ndarray:
    """x (rows, inputs) times a packed matrix transposed: what tests and benchmarks need."""
    rows = np.ascontiguousarray(x, np.float32)
    out = np.empty((len(rows), packed.c.outputs), np.float32)
    library().codegen25_linear(
        ctypes.byref(packed.c), ctypes.c_void_p(pointer(rows)), len(rows), rows.shape[1],
        ctypes.c_void_p(pointer(out)), threads, repeat,
    )  # fmt: skip
    return out


def pointer(array: np.ndarray) -> int:
    """The address of an array's data; the caller keeps the array."""
    return array.ctypes.data
