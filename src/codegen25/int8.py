"""Weights stored in 8 bits, for models that are shipped; `export safetensors` writes them wide.

A matrix NAME (rows, columns) lies in the file as int8 of the same shape, beside NAME_scale
(rows, columns / GROUP) in float16: GROUP weights of a row share a scale, their largest is 127 times
that. Our kernels round in the same groups, so that what they compute with is what is stored. The
form is ours: transformers loads none in compressed-tensors' int8 whose head is its embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 64
SCALE = "_scale"
QUANTIZATION = "quantization_config"
"""The table of `config.json` that says so."""


def config() -> dict[str, Any]:
    """`QUANTIZATION` of a model whose matrices, the embedding too, are stored in int8."""
    return {"quant_method": "codegen25-int8", "bits": 8, "group_size": GROUP}


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape can be stored so: a matrix of whole groups."""
    return len(shape) == 2 and shape[1] % GROUP == 0


def rounded(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """A matrix in int8 and its scales. What is stored so is rounded to itself again."""
    groups = matrix.reshape(len(matrix), -1, GROUP)
    largest = np.abs(groups).max(-1)
    # Scales below float16's normal numbers would have few bits; such weights are as good as 0.
    scales = np.maximum(largest / 127, np.finfo(np.float16).tiny).astype(np.float16)
    codes = np.rint(groups / scales[..., None].astype(np.float32))
    return codes.clip(-127, 127).astype(np.int8).reshape(matrix.shape), scales


def restored(codes: NDArray[np.int8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
    """The float32 matrix of codes and their scales."""
    groups = codes.reshape(len(codes), -1, GROUP).astype(np.float32)
    matrix: NDArray[np.float32] = groups * scales.astype(np.float32)[..., None]
    return matrix.reshape(codes.shape)
