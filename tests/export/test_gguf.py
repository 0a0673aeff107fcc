"""GGUF files, read back by `gguf` and, where it is installed, by llama.cpp itself."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from codegen25 import checkpoint
from codegen25.bench import shapes
from codegen25.config import CONFIG as CONFIG_JSON
from codegen25.directory import TOKENIZER
from codegen25.errors import UserError
from codegen25.export import gguf
from codegen25.export.gguf_keys import CONTROL, NORMAL, UNUSED, USER_DEFINED
from codegen25.tokenizer import Tokenizer
from codegen25.weights import INDEX, WEIGHTS
from conftest import Run

CONFIG = replace(shapes.SHAPES["1m"], hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
                 head_dim=16, intermediate_size=96, max_position_embeddings=256,
                 rope_theta=5000.0)  # fmt: skip
SPARE = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """Grouped heads, more rows of the embedding than tokens, weights that all matter."""
    out = tmp_path_factory.mktemp("gguf") / "small"
    config = replace(CONFIG, vocab_size=tokenizer.vocab_size + SPARE)
    shapes.write(out, config, tokenizer=tokenizer)
    return out


def read(path: Path) -> Any:
    return library.GGUFReader(path)


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in read(path).fields.items()}


def tensors(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: library.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in read(path).tensors
    }


def test_keys(folder: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    gguf.write(folder, tmp_path / "m.gguf", "f32")
    found = fields(tmp_path / "m.gguf")
    expected = {
        "general.architecture": "llama", "general.name": "small", "general.file_type": 0,
        "general.quantization_version": 2, "llama.vocab_size": tokenizer.vocab_size + SPARE,
        "llama.context_length": 256, "llama.embedding_length": 64, "llama.block_count": 2,
        "llama.feed_forward_length": 96, "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2, "llama.rope.freq_base": 5000.0,
        "llama.rope.dimension_count": 16, "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.eom_token_id": tokenizer.special("<eom>"),
        "tokenizer.ggml.eos_token_id": tokenizer.special("<|endoftext|>"),
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert found["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
    assert "llama.attention.key_length" not in found
    assert not any("fim" in key for key in found)  # reserved, never trained


def test_llama_cpps_infill_finds_the_sentinels_of_a_model_that_knows_the_alias(
    folder: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    shutil.copytree(folder, known)
    raw = json.loads((known / CONFIG_JSON).read_text())
    (known / CONFIG_JSON).write_text(json.dumps(raw | {"codegen25": {"alias": "<fim_middle>"}}))
    gguf.write(known, tmp_path / "m.gguf", "f32")
    found = fields(tmp_path / "m.gguf")
    names = {"pre": "<|endoftext|>", "suf": "<mask_1>", "mid": "<fim_middle>"}
    for key, name in names.items():
        assert found[f"tokenizer.ggml.fim_{key}_token_id"] == tokenizer.special(name)


def test_every_id_has_its_spelling_and_type(
    folder: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    gguf.write(folder, tmp_path / "m.gguf", "f32")
    found = fields(tmp_path / "m.gguf")
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == tokenizer.vocab_size + SPARE
    assert len(set(tokens)) == len(tokens)
    for token, i in tokenizer.backend.get_vocab(with_added_tokens=True).items():
        assert tokens[i] == token
        assert types[i] == (CONTROL if tokenizer.is_special(i) else NORMAL)
    assert types[tokenizer.vocab_size :] == [UNUSED] * SPARE
    merges = json.loads(tokenizer.backend.to_str())["model"]["merges"]
    assert found["tokenizer.ggml.merges"] == [" ".join(pair) for pair in merges]


def test_float_tensors_are_the_checkpoint_but_for_the_rows_of_q_and_k(
    folder: Path, tmp_path: Path
) -> None:
    gguf.write(folder, tmp_path / "m.gguf", "f32")
    found, weights = tensors(tmp_path / "m.gguf"), load_file(folder / WEIGHTS)
    assert len(found) == len(weights)
    for name, tensor in weights.items():
        values = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = gguf.permuted(values, 4 if "q_proj" in name else 2)
        np.testing.assert_array_equal(found[gguf.renamed(name)], values)


SCALE = 2**-11
"""What a scale in float16 is off by."""


@pytest.mark.parametrize(
    ("kind", "most"),
    # Q4_0's largest magnitude sits at -8 of -8..7: the other end may be off by a whole step.
    [("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 1 / 254 + SCALE), ("q4_0", 1 / 8 + SCALE)],
)
def test_narrow_tensors_are_near(folder: Path, tmp_path: Path, kind: str, most: float) -> None:
    gguf.write(folder, tmp_path / "exact.gguf", "f32")
    gguf.write(folder, tmp_path / "m.gguf", kind)
    exact = tensors(tmp_path / "exact.gguf")
    for name, values in tensors(tmp_path / "m.gguf").items():
        bound = most * np.abs(exact[name]).max()
        assert np.abs(values - exact[name]).max() <= 1.001 * bound
    types = {t.name: t.tensor_type.name.lower() for t in read(tmp_path / "m.gguf").tensors}
    assert types["blk.1.ffn_up.weight"] == kind and types["output_norm.weight"] == "f32"
    assert types["token_embd.weight"] == ("q8_0" if kind == "q4_0" else kind)  # it is the head
    assert fields(tmp_path / "m.gguf")["general.file_type"] == gguf.FILE_TYPES[kind]


def test_an_untied_head_is_written_and_rows_that_are_no_blocks_stay_wide(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    config = replace(CONFIG, vocab_size=tokenizer.vocab_size, tie_word_embeddings=False,
                     intermediate_size=40, num_hidden_layers=1, head_dim=24)  # fmt: skip
    shapes.write(tmp_path / "m", config, tokenizer=tokenizer, dtype=torch.bfloat16)
    gguf.write(tmp_path / "m", tmp_path / "m.gguf", "q4_0")
    types = {t.name: t.tensor_type.name for t in read(tmp_path / "m.gguf").tensors}
    assert types["output.weight"] == "Q8_0" and types["token_embd.weight"] == "Q4_0"
    assert types["blk.0.ffn_down.weight"] == "F16" and types["blk.0.ffn_up.weight"] == "Q4_0"
    found = fields(tmp_path / "m.gguf")
    assert found["llama.attention.key_length"] == found["llama.attention.value_length"] == 24


def test_shards_are_read(folder: Path, tmp_path: Path) -> None:
    gguf.write(folder, tmp_path / "whole.gguf", "bf16")
    weights = load_file(folder / WEIGHTS)
    split = tmp_path / "small"
    split.mkdir()
    for name in (CONFIG_JSON, TOKENIZER):
        (split / name).write_bytes((folder / name).read_bytes())
    places = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(weights)}
    for part in set(places.values()):
        save_file({n: t for n, t in weights.items() if places[n] == part}, split / part)
    (split / INDEX).write_text(json.dumps({"weight_map": places}))
    gguf.write(split, tmp_path / "split.gguf", "bf16")
    assert (tmp_path / "split.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


@given(heads=st.integers(1, 4), half=st.integers(1, 4), columns=st.integers(1, 3))
def test_rows_that_turn_together_become_neighbours(heads: int, half: int, columns: int) -> None:
    channels = 2 * half
    weight = np.arange(heads * channels * columns, dtype=np.float32).reshape(-1, columns)
    made = gguf.permuted(weight, heads)
    for head in range(heads):
        for i in range(half):
            row = head * channels + 2 * i
            np.testing.assert_array_equal(made[row], weight[head * channels + i])
            np.testing.assert_array_equal(made[row + 1], weight[head * channels + half + i])


# ------------------------------------------------------------------------------------ mistakes


def changed(folder: Path, out: Path, **config: Any) -> Path:
    """A copy of a model directory with other values in its config.json."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    raw = json.loads((out / CONFIG_JSON).read_text())
    (out / CONFIG_JSON).write_text(json.dumps(raw | config))
    return out


def test_mistakes_are_said_and_leave_what_was_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    out.write_text("old")
    wrong = changed(folder, tmp_path / "wrong", hidden_size=128, head_dim=16)
    for model, kind, said in (
        (folder, "q5_k", "q5_k.*q8_0"),
        (tmp_path / "none", "f32", "config.json is missing"),
        (wrong, "f32", r"shape \[.*config.json asks for"),
    ):
        with pytest.raises(UserError, match=said):
            gguf.write(model, out, kind)
    (wrong / WEIGHTS).write_bytes(b"0123456789")
    with pytest.raises(UserError, match="damaged"):
        gguf.write(wrong, out)
    with pytest.raises(UserError, match="is a folder"):
        gguf.write(folder, tmp_path)
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"m.gguf", "wrong"}


def test_a_write_that_breaks_off_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library.GGUFWriter, "write_tensor_data", full)
    with pytest.raises(UserError, match="No space left"):
        gguf.write(folder, tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"codegen25\[export\]"):
        gguf.write(folder, tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"pre_tokenizer": None}, "GPT-2's regex"),
        ({"normalizer": {"type": "NFC"}}, "normalises"),
        ({"added_tokens": []}, "no token ends a text"),
    ],
)
def test_a_tokenizer_that_llama_cpp_reads_differently_is_refused(
    folder: Path, tmp_path: Path, part: dict[str, Any], said: str
) -> None:
    copy = changed(folder, tmp_path / "copy")
    definition = json.loads((copy / TOKENIZER).read_text())
    (copy / TOKENIZER).write_text(json.dumps(definition | part))
    with pytest.raises(UserError, match=said):
        gguf.write(copy, tmp_path / "m.gguf")


def test_ordinary_added_tokens_are_the_users(folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path / "copy")
    tokenizer = Tokenizer.load(copy / TOKENIZER)
    tokenizer.backend.add_tokens(["    "])
    tokenizer.save(copy / TOKENIZER)
    gguf.write(copy, tmp_path / "m.gguf")
    found = fields(tmp_path / "m.gguf")
    i = found["tokenizer.ggml.tokens"].index("    ")
    assert found["tokenizer.ggml.token_type"][i] == USER_DEFINED


# ----------------------------------------------------------------------------------- llama.cpp

TEXTS = ("", "def f(x):\n    return x + 1\n", "a  b\t\tc\r\n\n", "x = 'é🎉'  # 12345", "<eom>don't")


def test_llama_cpp_reads_text_and_writes_tokens_as_we_do(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")
    from codegen25.bench.engines.llamacpp import Driver

    gguf.write(folder, tmp_path / "m.gguf", "f32")
    driver = Driver({"model": str(tmp_path / "m.gguf"), "threads": 1, "context": 128,
                     "exact": True})  # fmt: skip
    loaded = checkpoint.load(folder)
    for text in TEXTS:
        reply = driver.ask({"content": text, "parse_special": False}, "/tokenize")
        assert reply["tokens"] == loaded.tokenizer.encode(text)
    prompts = [loaded.tokenizer.encode(text) for text in (TEXTS[1], "import os\n")]
    assert driver.generate(prompts, 24) == [greedy(loaded, prompt, 24) for prompt in prompts]
    first, _ = driver.keystroke(prompts[0], 4, 0)
    again, _ = driver.keystroke([*prompts[0], 40], 4, len(prompts[0]))
    assert (first, again) == (len(prompts[0]), 1)


@torch.inference_mode()
def greedy(loaded: checkpoint.Checkpoint, prompt: list[int], new: int) -> list[int]:
    """Our likeliest ids but for those that end generation in llama.cpp.

    It takes `<fim_pad>` and `<reponame>` for such by their spelling.
    """
    ends = {loaded.tokenizer.special(name) for name in ("<fim_pad>", "<reponame>")}
    never = torch.tensor(sorted(loaded.form.ends_of_span | {i for i in ends if i is not None}))
    ids = list(prompt)
    for _ in range(new):
        logits = loaded.model(torch.tensor([ids]))[0, -1].index_fill(0, never, -torch.inf)
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


def test_the_verb_writes_the_file(run: Run, folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", "gguf", folder, tmp_path / "m.gguf", "--kind", "f16")
    assert code == 0 and out.strip() == str(tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_bytes()[:4] == b"GGUF"
    code, _, err = run("export", "gguf", folder, tmp_path / "n.gguf", "--kind", "q1")
    assert code == 2 and "q1" in err and not (tmp_path / "n.gguf").exists()
