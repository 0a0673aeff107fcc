"""A checkpoint as a GGUF file, which llama.cpp and all that is built on it load.

Keys: ggml's docs/gguf.md; names of tensors, the order of the rows of q and k and the number types
as llama.cpp's convert_hf_to_gguf.py has them for the architecture `llama`. Tensors are read,
converted and written one by one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.config import CONFIG, ModelConfig, parse_config, read_json
from codegen25.directory import TOKENIZER
from codegen25.errors import UserError
from codegen25.export.gguf_keys import shape_keys, tokenizer_keys
from codegen25.tokenizer import Tokenizer
from codegen25.weights import Weights

FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}
"""The number formats, and llama.cpp's `llama_ftype` of a file whose matrices have them."""
BLOCK = 32
"""Weights that share a scale in Q8_0 and Q4_0; a row holds whole blocks."""

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_OUTSIDE = {EMBEDDING: "token_embd", "model.norm.weight": "output_norm", HEAD: "output"}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

Array = NDArray[np.float32]


def write(folder: Path, out: Path, kind: str = "q8_0") -> None:
    """Write the checkpoint in `folder` to the GGUF file `out`, its matrices as `kind`.

    `out` appears whole or stays as it was. A UserError says what llama.cpp could not load.
    """
    gguf = _library()
    if kind not in FILE_TYPES:
        raise UserError(f"GGUF kind {kind!r} is unknown; there are {', '.join(FILE_TYPES)}")
    raw = read_json(folder / CONFIG)
    config = parse_config(raw, folder / CONFIG)
    tokenizer, path = Tokenizer.load(folder / TOKENIZER), folder / TOKENIZER
    values = {
        "general.name": folder.resolve().name,
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        **shape_keys(config),
        **tokenizer_keys(tokenizer, raw, config.vocab_size, path),
    }
    weights, tensors = Weights(folder, config), plan(config, kind)
    with _replacing(out) as staging:
        writer = gguf.GGUFWriter(staging, "llama")
        try:
            for key, value in values.items():
                _add(writer, key, value)
            for tensor in tensors:
                _announce(writer, gguf, tensor)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in tensors:
                writer.write_tensor_data(tensor.read(gguf, weights))
        finally:
            writer.close()


def _library() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise UserError("GGUF files need the package gguf: pip install 'codegen25[export]'") from (
            error
        )
    return gguf


def _add(writer: Any, key: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32,
           str: writer.add_string, list: writer.add_array}  # fmt: skip
    add[type(value)](key, value)


# ------------------------------------------------------------------------------------ tensors


@dataclass(frozen=True)
class Tensor:
    """What becomes of one tensor: `heads` is not 0 where its rows change places."""

    name: str
    shape: tuple[int, ...]
    heads: int
    kind: str

    def read(self, gguf: Any, weights: Mapping[str, Array]) -> NDArray[Any]:
        """The tensor's values as bytes of its kind."""
        values = weights[self.name]
        if self.heads:
            values = permuted(values, self.heads)
        made: NDArray[Any] = gguf.quants.quantize(values, _ggml_type(gguf, self.kind))
        return made


def plan(config: ModelConfig, kind: str) -> list[Tensor]:
    """Every tensor of a model, and what becomes of it."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    head = EMBEDDING if config.tie_word_embeddings else HEAD
    return [
        Tensor(name, shape, heads.get(name.split(".")[-2], 0),
               kind_of(shape, kind, is_head=name == head))
        for name, shape in config.tensors().items()
    ]  # fmt: skip


def renamed(name: str) -> str:
    """llama.cpp's name of a tensor of a Hugging Face LLaMA."""
    if name in _OUTSIDE:
        return f"{_OUTSIDE[name]}.weight"
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_IN_LAYER[part]}.weight"


def permuted(weight: Array, heads: int) -> Array:
    """Rows of q or k (heads · C, D) in the order in which llama.cpp rotates them.

    It turns channels 2i and 2i + 1 together; Hugging Face's layout has them at i and i + C/2.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows, columns)


def kind_of(shape: Sequence[int], kind: str, *, is_head: bool) -> str:
    """The number format of one tensor in a file of `kind`.

    Vectors stay float32. The output layer has eight bits in a file of four, as llama-quantize
    leaves it six, and rows that are no whole blocks have sixteen.
    """
    if len(shape) == 1:
        return "f32"
    if kind.startswith("q") and shape[-1] % BLOCK:
        return "f16"
    return "q8_0" if kind == "q4_0" and is_head else kind


def _announce(writer: Any, gguf: Any, tensor: Tensor) -> None:
    kind = _ggml_type(gguf, tensor.kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    length = math.prod(tensor.shape) // block * size
    writer.add_tensor_info(renamed(tensor.name), tensor.shape, np.dtype("f4"), length, kind)


def _ggml_type(gguf: Any, kind: str) -> Any:
    return gguf.GGMLQuantizationType[kind.upper()]


# -------------------------------------------------------------------------------------- files


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A file beside `out` that takes its place when the block succeeds."""
    if out.is_dir():
        raise UserError(f"{out} is a folder; give a file's name, say {out / 'model.gguf'}")
    staging = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield staging
        staging.replace(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        staging.unlink(missing_ok=True)
