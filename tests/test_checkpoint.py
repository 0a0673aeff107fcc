from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer


@pytest.fixture
def folder(model_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_dir, tmp_path / "m")
    return tmp_path / "m"


def edit(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v != "drop"}))


def test_a_round_trip_keeps_every_weight(folder: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(folder)
    checkpoint.save(tmp_path / "again", loaded.model, loaded.tokenizer)
    again = checkpoint.load(tmp_path / "again")
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert again.model.config == loaded.model.config
    assert again.model.lm_head.weight is again.model.model.embed_tokens.weight


def test_bfloat16_weights_are_read_as_float32_on_a_cpu(folder: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(folder)
    checkpoint.save(tmp_path / "half", loaded.model, loaded.tokenizer, dtype=torch.bfloat16)
    half = checkpoint.load(tmp_path / "half")
    assert half.model.lm_head.weight.dtype == torch.float32
    size = (tmp_path / "half/model.safetensors").stat().st_size
    assert size < 0.6 * (folder / "model.safetensors").stat().st_size


def test_sharded_weights_are_read(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, part in parts.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert checkpoint.load(folder).model.config.num_hidden_layers == 2
    (folder / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"b\.safetensors is missing"):
        checkpoint.load(folder)
    index.write_text(json.dumps({"weight_map": {"x": "../../etc/x.safetensors"}}))
    with pytest.raises(UserError, match="outside the directory"):
        checkpoint.load(folder)


def test_both_spellings_of_the_rotary_base(folder: Path) -> None:
    edit(folder, rope_parameters="drop", rope_theta=1234.0)
    assert checkpoint.load(folder).model.config.rope_theta == 1234.0
    edit(folder, rope_parameters={"rope_type": "default", "rope_theta": 99.0}, rope_theta="drop")
    assert checkpoint.load(folder).model.config.rope_theta == 99.0


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_norm(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors")


def with_stranger(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.stranger": torch.ones(1)}, folder / "model.safetensors")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json: not JSON"),
    "config nests": (lambda f: (f / "config.json").write_text("[" * 10**5), r"config\.json: not J"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "not a JSON object"),
    "truncated": (truncate, r"model\.safetensors: damaged or truncated"),
    "pickle": (pickle_only, r"pytorch_model\.bin: pickled weights"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "missing tensor": (without_norm, r"lack model\.norm\.weight"),
    "extra tensor": (with_stranger, r"model\.stranger belongs to no layer"),
    "shape": (lambda f: edit(f, intermediate_size=32), r"mlp\.\w+\.weight has shape"),
    "architecture": (lambda f: edit(f, architectures=["GPTJForCausalLM"]), "GPTJForCausalLM"),
    "activation": (lambda f: edit(f, hidden_act="gelu"), "hidden_act"),
    "bias": (lambda f: edit(f, attention_bias=True), "attention_bias"),
    "rope": (lambda f: edit(f, rope_parameters={"rope_type": "yarn"}), "yarn"),
    "heads": (lambda f: edit(f, num_key_value_heads=3), "do not fit"),
    "no size": (lambda f: edit(f, hidden_size="drop"), "hidden_size is missing"),
    "absurd size": (lambda f: edit(f, num_hidden_layers=-1), "num_hidden_layers"),
    "tokenizer": (lambda f: edit(f, vocab_size=700), "tokenizer and weights"),
    "another tokenizer": (
        lambda f: (f / "training.json").write_text('{"tokenizer_sha256": "0"}'),
        r"not the tokenizer that training\.json says",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, folder: Path) -> None:
    damage, message = DAMAGE[name]
    damage(folder)
    with pytest.raises(UserError, match=message):
        checkpoint.load(folder)


def test_a_model_larger_than_memory_is_refused_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    monkeypatch.setattr(checkpoint, "read_tensors", lambda *a: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match="memory"):
        checkpoint.load(folder)


def test_a_failed_save_leaves_the_old_checkpoint(
    folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model: Llama = checkpoint.load(folder).model

    def disk_full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenizer.__class__, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(folder, model, tokenizer)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["m"]
