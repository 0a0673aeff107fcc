"""What a GGUF file says of its model besides the weights: vocabulary, format, context.

The tokenizer is rebuilt from the file's keys, so that a file needs nothing beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from codegen25.config import CONFIG
from codegen25.directory import TOKENIZER
from codegen25.errors import UserError
from codegen25.export import gguf
from codegen25.export.gguf_keys import CONTROL, UNUSED, USER_DEFINED
from codegen25.infill import Format
from codegen25.models import cache_folder, resolve
from codegen25.serve.llama_cpp import metadata
from codegen25.tokenizer import Tokenizer
from codegen25.weights import weight_files

SUFFIX = ".gguf"
KINDS = {"auto": "q8_0", "int8": "q8_0", "int4": "q4_0", "float32": "f32"}
"""GGUF's number format for each of `--weights`."""
_SHAPE = ("block_count", "attention.head_count_kv", "attention.head_count", "embedding_length")


@dataclass(frozen=True)
class GgufModel:
    """A GGUF file, read but for its tensors.

    `rows` are the ids it has logits for, `token_bytes` what a token's keys and values take at 16
    bits (0 where the file does not say), `exact` whether its weights are float32.
    """

    path: Path
    tokenizer: Tokenizer
    form: Format
    context: int
    rows: int
    token_bytes: int
    exact: bool

    @classmethod
    def read(cls, path: Path) -> GgufModel:
        """Read a file; what it lacks, or what only llama.cpp could read, is a UserError."""
        keys = metadata.read(path)
        architecture = keys.get("general.architecture")
        context = keys.get(f"{architecture}.context_length")
        if not isinstance(context, int) or context < 1:
            raise UserError(f"{path}: it does not say how long a text may be (context_length)")
        tokenizer = tokenizer_of(keys, path)
        tokens = keys["tokenizer.ggml.tokens"]
        shape = [keys.get(f"{architecture}.{name}") for name in _SHAPE]
        return cls(
            path, tokenizer, Format.of(tokenizer, _config(keys, tokens)), context, len(tokens),
            _token_bytes(shape), keys.get("general.file_type") == gguf.FILE_TYPES["f32"],
        )  # fmt: skip


def tokenizer_of(keys: Mapping[str, Any], path: Path) -> Tokenizer:
    """The tokenizer of a GGUF's keys: byte-level BPE that cuts text by GPT-2's regex, or none."""
    ours = {name: keys.get(f"tokenizer.ggml.{name}")
            for name in ("model", "pre", "tokens", "token_type", "merges")}  # fmt: skip
    if ours["model"] != "gpt2" or ours["pre"] != "gpt-2":
        raise UserError(
            f"{path}: its tokenizer is {ours['model']}/{ours['pre']}; here only gpt2/gpt-2 "
            "(byte-level BPE with GPT-2's regex) is read. llama.cpp's own server takes the file"
        )
    tokens, types, merges = ours["tokens"], ours["token_type"], ours["merges"]
    if not (isinstance(tokens, list) and isinstance(types, list) and isinstance(merges, list)):
        raise UserError(f"{path}: its tokenizer lacks tokens, token_type or merges")
    if len(tokens) != len(types):
        raise UserError(f"{path}: {len(tokens)} tokens, but {len(types)} types of tokens")
    vocab = {token: i for i, token in enumerate(tokens) if types[i] != UNUSED}
    try:
        pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
        backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    except Exception as error:  # the library raises bare Exception for every fault
        raise UserError(f"{path}: its merges do not fit its tokens ({error})") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    for kind, special in ((USER_DEFINED, False), (CONTROL, True)):
        added = [AddedToken(token, special=special, normalized=False)
                 for token, each in zip(tokens, types, strict=True) if each == kind]  # fmt: skip
        (backend.add_special_tokens if special else backend.add_tokens)(added)
    return Tokenizer(backend)


def _config(keys: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
    """What `Format.of` reads of a config.json, from the special ids of a GGUF."""
    ids = {name: keys.get(f"tokenizer.ggml.{name}_token_id")
           for name in ("eos", "eot", "fim_pre", "fim_suf", "fim_mid")}  # fmt: skip
    config: dict[str, Any] = {"eos_token_id": [ids["eos"], ids["eot"]]}
    named = {name: ids[key] for name, key in
             (("prefix", "fim_pre"), ("suffix", "fim_suf"), ("middle", "fim_mid"))}  # fmt: skip
    if all(isinstance(i, int) and i < len(tokens) for i in named.values()):
        config["infill"] = {name: tokens[i] for name, i in named.items() if i is not None}
    return config


def _token_bytes(shape: Sequence[Any]) -> int:
    layers, kv_heads, heads, width = shape
    numbers = all(isinstance(each, int) and each > 0 for each in shape)
    return 2 * 2 * layers * kv_heads * (width // heads) if numbers else 0


# ------------------------------------------------------------------------------------- places


def located(model: str) -> Path:
    """Where a model is: a GGUF file, or the directory of a name (see `models.resolve`)."""
    if Path(model).suffix.lower() != SUFFIX:
        return resolve(model)
    if not Path(model).is_file():
        raise UserError(f"{model}: there is no such file")
    return Path(model)


def exported(folder: Path, weights: str = "auto") -> Path:
    """The GGUF of a model directory, in the cache folder: written once for the same weights."""
    if weights not in KINDS:
        raise UserError(f"weights {weights!r} are unknown; there are {', '.join(KINDS)}")
    kind = KINDS[weights]
    name = f"{folder.resolve().name}-{kind}-{_digest(folder)[:16]}{SUFFIX}"
    path = cache_folder() / "gguf" / name
    if not path.is_file():
        gguf.write(folder, path, kind)
    return path


def _digest(folder: Path) -> str:
    """Of everything that the GGUF is made of."""
    digest = hashlib.sha256()
    for path in (folder / CONFIG, folder / TOKENIZER, *weight_files(folder)):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()
