"""The kernels' C interface: structures, and weights packed for it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen25.sample.native.build import library

KINDS = {"float32": 0, "int8": 1, "int4": 2}
GROUPS = {"float32": 1, "int8": 64, "int4": 32}
"""Inputs that share a scale."""
LANES = 16
_BITS = {"float32": 32, "int8": 8, "int4": 4}


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


def pack(parts: Sequence[np.ndarray], kind: str, threads: int) -> Packed:
    """Matrices (outputs, inputs) of float32 below each other, packed as one."""
    outputs, columns = sum(len(part) for part in parts), parts[0].shape[1]
    group = GROUPS[kind]
    inputs = -(-columns // group) * group
    panels = -(-outputs // LANES)
    weights = np.zeros(panels * inputs * LANES * _BITS[kind] // 8, np.uint8)
    scales = np.zeros(0 if kind == "float32" else panels * inputs // group * LANES, np.float32)
    c = CLinear(KINDS[kind], outputs, inputs, group, pointer(weights), pointer(scales))
    first = 0
    for part in parts:
        rows = np.ascontiguousarray(part, np.float32)
        library().codegen25_pack(
            ctypes.byref(c), ctypes.c_void_p(pointer(rows)), len(rows), columns, first, threads
        )
        first += len(rows)
    return Packed(c, weights, scales)


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
