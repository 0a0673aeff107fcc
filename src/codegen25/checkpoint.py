"""A model directory in Hugging Face's form: config.json, safetensors, tokenizer.json.

Written so that transformers, vLLM and (after export) llama.cpp load it with no code of ours; read
from whoever wrote it, and checked before a tensor is trusted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from codegen25 import memory
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.model import Llama, ModelConfig
from codegen25.tokenizer import Tokenizer

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
INDEX = WEIGHTS + ".index.json"
FACTS = "training.json"
"""How the weights came about, in a model of ours; see `train.loop.Trainer.facts`."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model directory."""

    model: Llama
    tokenizer: Tokenizer
    form: Format
    folder: Path


def load(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Checkpoint:
    """Read and check a model directory.

    `dtype` defaults to float32 on a CPU and to the stored type elsewhere. Anything missing,
    foreign, damaged or inconsistent is a UserError that names the file and the key.
    """
    raw = read_json(folder / CONFIG)
    config = parse_config(raw, folder / CONFIG)
    dtype = dtype or (torch.float32 if device == "cpu" else None)
    _require_memory(folder, config, dtype, device)
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.vocab_size > config.vocab_size:
        raise UserError(
            f"{folder / TOKENIZER}: {tokenizer.vocab_size} ids, but {CONFIG} says vocab_size "
            f"{config.vocab_size}; tokenizer and weights are of different models"
        )
    _require_same_tokenizer(folder, tokenizer)
    model = empty_model(config)
    state = read_tensors(folder, expected_shapes(model), device, dtype)
    model.load_state_dict(state, assign=True, strict=False)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.requires_grad_(False)
    return Checkpoint(model.eval(), tokenizer, Format.of(tokenizer, raw), folder)


def _require_same_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Of a model of ours: the tokenizer must be the one it was trained with."""
    facts = read_json(folder / FACTS) if (folder / FACTS).is_file() else {}
    if facts.get("tokenizer_sha256", tokenizer.sha256) != tokenizer.sha256:
        raise UserError(
            f"{folder / TOKENIZER}: not the tokenizer that {FACTS} says the model was trained with"
        )


def empty_model(config: ModelConfig) -> Llama:
    """The model on the meta device: shapes and no memory."""
    with torch.device("meta"):
        return Llama(config)


# ------------------------------------------------------------------------------------- config


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
        "quantization_config": bool(raw.get("quantization_config")),
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


def config_json(config: ModelConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> dict[str, Any]:
    """Our configuration as `config.json`, readable by transformers 4 and 5."""
    end = min(Format.of(tokenizer).ends, default=None)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_word_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "initializer_range": 0.02,
        "use_cache": True,
    }


# ------------------------------------------------------------------------------------ reading


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


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a directory; pickles are refused."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        names = read_json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            raise UserError(f"{folder / INDEX}: weight_map is missing or malformed")
        files = [folder / name for name in sorted(set(names.values()))]
        for file in files:
            if file.parent != folder:
                raise UserError(f"{folder / INDEX}: {file.name} lies outside the directory")
            if not file.is_file():
                raise UserError(f"{file} is missing; {INDEX} names it")
        return files
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickles:
        raise UserError(
            f"{pickles[0]}: pickled weights can run code and are refused; "
            "convert them to safetensors"
        )
    raise UserError(f"{folder}: no weights ({WEIGHTS} or {INDEX})")


def expected_shapes(model: Llama) -> dict[str, torch.Size]:
    """Name and shape of every tensor a checkpoint of `model` must hold."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    return shapes


def read_tensors(
    folder: Path, expected: Mapping[str, torch.Size], device: str, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """All tensors of a directory, each checked against `expected`."""
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                if name in expected:
                    shape = torch.Size(file.get_slice(name).get_shape())
                    if shape != expected[name]:
                        raise UserError(
                            f"{path}: {name} has shape {list(shape)}, "
                            f"{CONFIG} asks for {list(expected[name])}"
                        )
                    tensor = file.get_tensor(name)
                    state[name] = tensor.to(device=device, dtype=dtype or tensor.dtype)
                elif not name.endswith("rotary_emb.inv_freq") and name != "lm_head.weight":
                    raise UserError(f"{path}: {name} belongs to no layer of {CONFIG}")
    missing = sorted(expected.keys() - state.keys())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{folder}: the weights lack {missing[0]}{more}")
    return state


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or truncated safetensors ({error})") from error


def _require_memory(
    folder: Path, config: ModelConfig, dtype: torch.dtype | None, device: str
) -> None:
    if device != "cpu":
        return
    need = config.parameters * (dtype or torch.float32).itemsize
    free = memory.available()
    if need > free:
        raise UserError(
            f"{folder}: the weights take {need / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory are "
            "free; use a smaller model or a machine with more"
        )


# ------------------------------------------------------------------------------------ writing


def save(
    folder: Path,
    model: Llama,
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype = torch.float32,
    extra: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write a model directory; it replaces `folder` whole or leaves it as it was.

    `extra` may add files of its own before the directory appears.
    """
    with replacing(folder) as staging:
        write(staging, model.config, model.state_dict(), tokenizer, dtype=dtype)
        extra(staging)


def write(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype = torch.float32,
    infill: Mapping[str, str] | None = None,
) -> None:
    """Write a model's files into an existing folder.

    `state` holds its tensors by name; `infill` is noted in the config, see `Format.of`.
    """
    tensors = {
        name: state[name].detach().to("cpu", dtype).contiguous()
        for name in expected_shapes(empty_model(config))
    }
    raw = config_json(config, tokenizer, dtype) | ({"infill": dict(infill)} if infill else {})
    try:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:
        raise UserError(f"{folder}: the weights cannot be written ({error})") from error
    (folder / WEIGHTS).chmod(0o644)  # the library writes it for its owner alone
    _write_json(folder / CONFIG, raw)
    _write_json(folder / "generation_config.json", _generation_config(raw, tokenizer))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(raw, tokenizer))
    tokenizer.save(folder / TOKENIZER)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A fresh directory that takes the place of `folder` when the block succeeds.

    Files that `folder` holds and the new one lacks (a model card, notes) come along.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    old = staging.with_name(staging.name.replace(".new-", ".old-"))
    staging.chmod(0o755)
    try:
        yield staging
        if folder.exists():
            for path in folder.iterdir():
                if path.is_file() and not (staging / path.name).exists():
                    shutil.copy2(path, staging)
            folder.rename(old)
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)


def _generation_config(config: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": sorted(Format.of(tokenizer, config).ends_of_span),
        "pad_token_id": config["pad_token_id"],
    }


def _tokenizer_config(config: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    end = config["eos_token_id"]
    name = tokenizer.backend.id_to_token(end) if end is not None else None
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
        "bos_token": name,
        "eos_token": name,
        "pad_token": name,
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
