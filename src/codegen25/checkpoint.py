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
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from codegen25 import int8, memory
from codegen25.config import CONFIG, ModelConfig
from codegen25.directory import TOKENIZER, Directory
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.weights import WEIGHTS, opened, require_all, require_known, weight_files


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model directory."""

    model: Llama
    tokenizer: Tokenizer
    form: Format
    folder: Path


def load(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Checkpoint:
    """Read and check a model directory.

    `dtype` defaults to float32 on a CPU and to the stored type elsewhere (of int8 bfloat16).
    Anything missing, foreign, damaged or inconsistent is a UserError that names file and key.
    """
    directory = Directory.read(folder)
    config = directory.config
    dtype = dtype or (torch.float32 if device == "cpu" else None)
    require_memory(folder, config, dtype, device)
    model = fill(empty_model(config), read_tensors(folder, config, device, dtype))
    return Checkpoint(model, directory.tokenizer, directory.form, folder)


def fill(model: Llama, state: Mapping[str, Tensor]) -> Llama:
    """An empty model with its tensors, for evaluation only."""
    model.load_state_dict(state, assign=True, strict=False)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.requires_grad_(False)
    return model.eval()


def empty_model(config: ModelConfig) -> Llama:
    """The model on the meta device: shapes and no memory."""
    with torch.device("meta"):
        return Llama(config)


# ------------------------------------------------------------------------------------- config


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


def read_tensors(
    folder: Path,
    config: ModelConfig,
    device: str,
    dtype: torch.dtype | None,
    change: Callable[[str, Tensor], Mapping[str, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """All tensors of a directory, each checked against the configuration.

    `change` says, one by one and before they go to the device, what is kept of each.
    """
    state: dict[str, Tensor] = {}
    found: set[str] = set()
    expected = config.tensors()
    for path in weight_files(folder):
        with opened(path, "pt") as file:
            require_known(path, file, expected)
            for name in expected.keys() & set(file.keys()):
                tensor = _read(file, name, dtype)
                kept = {name: tensor} if change is None else change(name, tensor)
                state |= {name: part.to(device) for name, part in kept.items()}
                found.add(name)
    require_all(folder, expected, found)
    return state


def _read(file: Any, name: str, dtype: torch.dtype | None) -> Tensor:
    """A tensor of an open file, as it is stored without a `dtype`; int8 comes as bfloat16 then."""
    tensor: Tensor = file.get_tensor(name)
    if tensor.dtype != torch.int8:
        return tensor.to(dtype or tensor.dtype)
    if name + int8.SCALE not in file.keys():  # noqa: SIM118 (not a mapping)
        raise UserError(f"the weights lack {name}{int8.SCALE}")
    scales = file.get_tensor(name + int8.SCALE).numpy()
    return torch.from_numpy(int8.restored(tensor.numpy(), scales)).to(dtype or torch.bfloat16)


def require_memory(
    folder: Path, config: ModelConfig, dtype: torch.dtype | None, device: str
) -> None:
    """Refuse a model that this machine's memory can't hold; of other devices nothing is known."""
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
    marks: Mapping[str, str] | None = None,
) -> None:
    """Write a model's files into an existing folder.

    `state` holds its tensors by name. With `torch.int8` as `dtype` matrices are stored in 8 bits
    (see `int8`), the rest in bfloat16. `infill` and `marks` are noted in the config, the latter as
    its table `codegen25`, see `Format.of` and `instruct.is_instruct`.
    """
    narrow, wide = dtype == torch.int8, torch.bfloat16 if dtype == torch.int8 else dtype
    tensors: dict[str, Tensor] = {}
    for name, shape in config.tensors().items():
        tensor = state[name].detach().cpu()
        if narrow and len(shape) == 2:
            tensors |= _rounded(name, tensor)
        else:
            tensors[name] = tensor.to(wide).contiguous()
    noted: dict[str, Any] = {"infill": dict(infill or {}), "codegen25": dict(marks or {})}
    noted |= {int8.QUANTIZATION: int8.config()} if narrow else {}
    raw = config_json(config, tokenizer, wide) | {k: table for k, table in noted.items() if table}
    try:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:
        raise UserError(f"{folder}: the weights cannot be written ({error})") from error
    (folder / WEIGHTS).chmod(0o644)  # the library writes it for its owner alone
    _write_json(folder / CONFIG, raw)
    _write_json(folder / "generation_config.json", _generation_config(raw, tokenizer))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(raw, tokenizer))
    tokenizer.save(folder / TOKENIZER)


def _rounded(name: str, matrix: Tensor) -> dict[str, Tensor]:
    """What is stored of a matrix in int8."""
    if not int8.fits(tuple(matrix.shape)):
        raise UserError(
            f"{name} has rows of {matrix.shape[1]}; int8 takes multiples of {int8.GROUP}"
        )
    codes, scales = int8.rounded(matrix.float().numpy())
    return {name: torch.from_numpy(codes), name + int8.SCALE: torch.from_numpy(scales)}


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
