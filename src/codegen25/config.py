"""The hyperparameters of a LLaMA, and how they are read from a `config.json`. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen25 import int8
from codegen25.errors import UserError

CONFIG = "config.json"


@dataclass(frozen=True)
class ModelConfig:
    """The hyperparameters of a LLaMA, under Hugging Face's names."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = True

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        d, f = self.hidden_size, self.intermediate_size
        q, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        layer = 2 * d * q + 2 * d * kv + 3 * d * f + 2 * d
        embeddings = self.vocab_size * d * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * layer + embeddings + d

    def flops_per_token(self, context: int) -> float:
        """Training FLOPs a token: 6 per matrix weight, and causal attention over `context`."""
        head = self.vocab_size * self.hidden_size
        matrices = self.parameters - head * (1 if self.tie_word_embeddings else 2) + head
        width = self.num_attention_heads * self.head_dim
        return 6.0 * matrices + 6.0 * self.num_hidden_layers * width * context

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor a checkpoint must hold."""
        return dict(self._tensors())

    def _tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        d, f, v = self.hidden_size, self.intermediate_size, self.vocab_size
        q, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        yield "model.embed_tokens.weight", (v, d)
        for i in range(self.num_hidden_layers):
            layer = f"model.layers.{i}"
            for name, shape in (
                ("self_attn.q_proj", (q, d)),
                ("self_attn.k_proj", (kv, d)),
                ("self_attn.v_proj", (kv, d)),
                ("self_attn.o_proj", (d, q)),
                ("mlp.gate_proj", (f, d)),
                ("mlp.up_proj", (f, d)),
                ("mlp.down_proj", (d, f)),
                ("input_layernorm", (d,)),
                ("post_attention_layernorm", (d,)),
            ):
                yield f"{layer}.{name}.weight", shape
        yield "model.norm.weight", (d,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (v, d)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model directory."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path.parent} is no model directory: {path.name} is missing") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object")
    return value


def parse_config(raw: Mapping[str, Any], path: Path) -> ModelConfig:
    """A `config.json` as our configuration; whatever our forward pass lacks is a UserError."""
    names = raw.get("architectures") or [raw.get("model_type")]
    if not isinstance(names, list):
        raise UserError(f"{path}: architectures is {names!r}; it is a list")
    if names[0] not in ("LlamaForCausalLM", "llama"):
        raise UserError(f"{path}: architecture {names[0]} is unknown here; only LLaMA is supported")
    unsupported = {
        "hidden_act": raw.get("hidden_act", "silu") != "silu",
        "attention_bias": bool(raw.get("attention_bias")),
        "mlp_bias": bool(raw.get("mlp_bias")),
        int8.QUANTIZATION: raw.get(int8.QUANTIZATION) not in (None, {}, int8.config()),
    }
    for key, wrong in unsupported.items():
        if wrong:
            raise UserError(f"{path}: {key} = {raw[key]!r} is not supported")
    try:
        heads = _positive(raw, "num_attention_heads")
        hidden = _positive(raw, "hidden_size")
        config = ModelConfig(
            vocab_size=_positive(raw, "vocab_size"),
            hidden_size=hidden,
            intermediate_size=_positive(raw, "intermediate_size"),
            num_hidden_layers=_positive(raw, "num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=_positive(raw, "num_key_value_heads", heads),
            head_dim=_positive(raw, "head_dim", hidden // heads),
            max_position_embeddings=_positive(raw, "max_position_embeddings", 2048),
            rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
            rope_theta=_rope_theta(raw, path),
            tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    if config.num_attention_heads % config.num_key_value_heads or config.head_dim % 2:
        raise UserError(
            f"{path}: {config.num_attention_heads} heads, {config.num_key_value_heads} key/value "
            f"heads, {config.head_dim} channels a head do not fit together"
        )
    return config


def _positive(raw: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = raw.get(key)
    value = default if value is None else value
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} is {value!r}; it is a positive whole number")
    return value


def _rope_theta(raw: Mapping[str, Any], path: Path) -> float:
    """Both spellings: `rope_parameters` of transformers 5, `rope_theta` + `rope_scaling` before."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise UserError(f"{path}: the rotary parameters are {rope!r}, which is no table")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UserError(f"{path}: rope type {kind!r} is not supported; only the default is")
    return float(rope.get("rope_theta", raw.get("rope_theta", 10000.0)))
