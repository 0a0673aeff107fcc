"""The keys of a GGUF file: a LLaMA's shape and a byte-level BPE under llama.cpp's names.

ggml's docs/gguf.md lists them; what llama.cpp reads of them is in its src/llama-vocab.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.tokenizer import Tokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's `llama_token_type`."""


def shape_keys(config: ModelConfig) -> dict[str, Any]:
    """The hyperparameters under llama.cpp's names."""
    keys: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
        "rope.dimension_count": config.head_dim,
    }
    if config.num_attention_heads * config.head_dim != config.hidden_size:
        keys |= {
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
        }
    return {f"llama.{name}": value for name, value in keys.items()}


def tokenizer_keys(
    tokenizer: Tokenizer, raw: Mapping[str, Any], size: int, path: Path
) -> dict[str, Any]:
    """The vocabulary and its special ids; `raw` is config.json, `size` its rows of embeddings.

    With `eom_token_id` llama.cpp ends an infill natively: a text stop never matches `<eom>`,
    which it renders as nothing.
    """
    definition = json.loads(tokenizer.backend.to_str())
    _require_gpt2(definition, path)
    if tokenizer.vocab_size > size:
        raise UserError(f"{path}: {tokenizer.vocab_size} ids, but the model has only {size}")
    tokens, types = _tokens(tokenizer, size)
    merges = definition["model"]["merges"]
    keys = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": types,
        "merges": [pair if isinstance(pair, str) else " ".join(pair) for pair in merges],
        "add_bos_token": False,
        **_special_ids(Format.of(tokenizer, raw), raw, path),
    }
    return {f"tokenizer.ggml.{name}": value for name, value in keys.items()}


def _require_gpt2(definition: Mapping[str, Any], path: Path) -> None:
    """llama.cpp cuts text by GPT-2's regex, merges by rank and knows no other normal form."""
    split, model = definition.get("pre_tokenizer") or {}, definition["model"]
    reasons = {
        "it is no BPE": model.get("type") != "BPE",
        "it has no merges": not model.get("merges"),
        "it normalises text": definition.get("normalizer") is not None,
        "it merges words that are tokens first": bool(model.get("ignore_merges")),
        "it does not cut text by GPT-2's regex": split.get("type") != "ByteLevel"
        or not split.get("use_regex", True)
        or bool(split.get("add_prefix_space")),
    }
    for reason, wrong in reasons.items():
        if wrong:
            raise UserError(
                f"{path}: {reason}, so llama.cpp would read text differently; only byte-level BPE "
                "with GPT-2's regex can be exported"
            )


def _tokens(tokenizer: Tokenizer, size: int) -> tuple[list[str], list[int]]:
    """Spelling and type of every id; rows of the embedding that no token has are padding."""
    tokens, types = [f"[PAD{i}]" for i in range(size)], [UNUSED] * size
    for token, i in tokenizer.backend.get_vocab(with_added_tokens=False).items():
        tokens[i], types[i] = token, NORMAL
    for i, added in tokenizer.backend.get_added_tokens_decoder().items():
        tokens[i], types[i] = added.content, CONTROL if added.special else USER_DEFINED
    return tokens, types


def _special_ids(form: Format, raw: Mapping[str, Any], path: Path) -> dict[str, int]:
    if not form.ends:
        raise UserError(f"{path}: no token ends a text, so llama.cpp would never stop")
    end = raw.get("eos_token_id")
    end = end if isinstance(end, int) and end in form.ends else min(form.ends)
    begin, padding = raw.get("bos_token_id"), raw.get("pad_token_id")
    ids = {
        "bos_token_id": begin if isinstance(begin, int) else end,
        "eos_token_id": end,
        "padding_token_id": padding if isinstance(padding, int) else end,
    }
    others = form.ends - {end}
    if others:
        ids["eot_token_id"] = min(others)
    if form.span:
        ids["eom_token_id"] = form.span.end_of_middle
    if form.span and form.alias is not None:
        # A document follows the end of another; its hole is where llama.cpp's suffix begins.
        ids["fim_pre_token_id"] = form.span.end_of_text
        ids["fim_suf_token_id"] = form.span.masks[0]
        ids["fim_mid_token_id"] = form.alias
    if form.fim:
        ids["fim_pre_token_id"] = form.fim.prefix
        ids["fim_suf_token_id"] = form.fim.suffix
        ids["fim_mid_token_id"] = form.fim.middle
    return ids
