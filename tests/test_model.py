"""Parity with transformers, the oracle for what a LLaMA computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from codegen25 import checkpoint
from codegen25.config import parse_config
from codegen25.infill import Prompt
from codegen25.model import Cache, Llama, initialize
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request
from codegen25.sample.torch_runner import TorchRunner
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Shape

SHAPES = {
    "mha tied": (4, 4, True, 10000.0),
    "mha untied": (4, 4, False, 10000.0),
    "gqa tied": (4, 2, True, 500000.0),
    "mqa untied": (4, 1, False, 10000.0),
}


@pytest.fixture(params=SHAPES, ids=str)
def theirs(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """A directory written by transformers, in shards where untied."""
    heads, kv_heads, tied, theta = SHAPES[request.param]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=800, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        max_position_embeddings=128, rms_norm_eps=1e-6, rope_parameters={
            "rope_type": "default", "rope_theta": theta,
        }, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path, max_shard_size="1GB" if tied else "100KB")
    tokenizer.save(tmp_path / "tokenizer.json")
    return tmp_path


def test_logits_equal_transformers(theirs: Path) -> None:
    ours = checkpoint.load(theirs).model
    oracle = AutoModelForCausalLM.from_pretrained(theirs, dtype=torch.float32)
    ids = torch.randint(0, 800, (2, 50), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (ours(ids) - oracle(ids).logits).abs().max()
    assert float(difference) <= 1e-4


@pytest.mark.parametrize("runner", ["kernels", "torch"])
def test_greedy_tokens_equal_transformers(theirs: Path, runner: str) -> None:
    oracle = AutoModelForCausalLM.from_pretrained(theirs, dtype=torch.float32)
    engine = Engine.load(theirs, Settings(kind="float32", threads=1))
    if runner == "torch":
        model = checkpoint.load(theirs).model
        engine = Engine(TorchRunner(model, 2), engine.tokenizer, engine.form, theirs)
    engine.scheduler._never = np.array([], np.int64)
    ids = list(range(300, 320))
    out = oracle.generate(
        torch.tensor([ids]), max_new_tokens=40, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    prompt = Prompt(ids, frozenset([-1]), engine.form.layouts[0])
    answer = engine.wait(engine.submit(Request(prompt, 40, Sampling(logprobs=1))))
    assert [each.id for each in answer.logprobs] == out[0, len(ids) :].tolist()


@pytest.mark.parametrize("runner", ["kernels", "torch"])
def test_the_fast_path_equals_transformers(
    theirs: Path, runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but text is asked for: steps are taken together and drafted where that pays."""
    oracle = AutoModelForCausalLM.from_pretrained(theirs, dtype=torch.float32)
    engine = Engine.load(theirs, Settings(kind="float32", threads=1))
    strides: list[int] = []
    if runner == "torch":
        model = checkpoint.load(theirs).model
        engine = Engine(TorchRunner(model, 2), engine.tokenizer, engine.form, theirs)
    else:
        stride = engine.runner.stride  # type: ignore[attr-defined]

        def noted(*arguments: object) -> tuple[list[int], float]:
            found: tuple[list[int], float] = stride(*arguments)
            strides.append(len(found[0]))
            return found

        monkeypatch.setattr(engine.runner, "stride", noted)
    engine.scheduler._never = np.array([], np.int32)
    ids = list(range(300, 320))
    out = oracle.generate(
        torch.tensor([ids]), max_new_tokens=80, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )[0].tolist()  # fmt: skip
    prompt = Prompt(ids, frozenset([-1]), engine.form.layouts[0])
    for _ in range(2):  # the second with a step's time known from the start
        engine.cache.clear()
        answer = engine.wait(engine.submit(Request(prompt, 80)))
        [slot] = engine.cache.slots
        # The last id goes into no pass.
        assert answer.tokens == 80 and slot.tokens[: slot.length].tolist() == out[:-1]
    assert runner == "torch" or max(strides) > 2


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_what_we_write(tied: bool, tmp_path: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    shape = Shape(layers=2, hidden=64, heads=4, kv_heads=2, context=64, tied=tied)
    model = Llama(shape.config(tokenizer.vocab_size))
    initialize(model, torch.Generator().manual_seed(3))
    checkpoint.save(tmp_path / "m", model, tokenizer)
    oracle, report = AutoModelForCausalLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids = torch.arange(300, 340)[None]
    with torch.no_grad():
        assert float((model(ids) - oracle(ids).logits).abs().max()) <= 1e-4
    theirs = AutoTokenizer.from_pretrained(tmp_path / "m")
    text = "def f(x):\n    return x\n"
    assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)
    spans = checkpoint.Format.of(tokenizer).span
    assert spans is not None
    assert set(oracle.generation_config.eos_token_id) == spans.ends


def test_a_cache_in_pieces_changes_nothing(model_dir: Path) -> None:
    model = checkpoint.load(model_dir).model
    ids = torch.arange(256, 296)[None]
    with torch.no_grad():
        whole = model(ids)
        cache = Cache(model.config, 1, 64, whole)
        parts = [model(part, cache) for part in ids.split([7, 1, 20, 12], dim=1)]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


def test_no_position_sees_what_follows(model_dir: Path) -> None:
    model = checkpoint.load(model_dir).model
    first, second = torch.arange(256, 296)[None], torch.arange(256, 296)[None].clone()
    second[0, 20:] = 300
    with torch.no_grad():
        assert torch.equal(model(first)[:, :20], model(second)[:, :20])


def test_parameters_are_counted_right() -> None:
    for tied in (True, False):
        shape = Shape(layers=2, hidden=64, heads=4, kv_heads=2, tied=tied)
        config = shape.config(500)
        model = Llama(config)
        assert config.parameters == sum(p.numel() for p in model.parameters())


def test_the_original_seven_billion_are_accepted(tmp_path: Path) -> None:
    """The config.json of CodeGen2.5-7B: accepted, counted, built on the meta device."""
    raw = {
        "architectures": ["LlamaForCausalLM"], "bos_token_id": 50256, "eos_token_id": 50256,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 11008, "max_position_embeddings": 2048, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
        "pad_token_id": 0, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.29.2",
        "use_cache": True, "vocab_size": 51200,
    }  # fmt: skip
    config = parse_config(raw, tmp_path / "config.json")
    model = checkpoint.empty_model(config)
    assert config.parameters == 6_895_702_016 == sum(p.numel() for p in model.parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert config.tensors() == shapes and len(shapes) == 32 * 9 + 3


def test_sampling_is_seeded(model_dir: Path) -> None:
    engine = Engine.load(model_dir)
    prompt = engine.prompt("x", "y", max_tokens=20)
    one = engine.answers(prompt, 20, Sampling(1.0, seed=5), 3)
    two = engine.answers(prompt, 20, Sampling(1.0, seed=5), 3)
    assert [c.text for c in one] == [c.text for c in two]
    assert len({c.text for c in one}) == 3


def test_both_end_ids_end_every_layout_and_nothing_after_is_shown(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model scripted to write `x`, an end, and more."""
    engine = Engine.load(model_dir)
    assert engine.form.span is not None
    x, y = engine.tokenizer.encode("x")[0], engine.tokenizer.encode("y")[0]
    for end in engine.form.span.ends:
        for layout in engine.form.layouts:
            script = iter([x, end, y, y])
            monkeypatch.setattr("codegen25.sample.answer.draw", lambda *a, s=script: next(s))
            answer = engine.infill("a", "b", max_tokens=4, layout=layout, sampling=Sampling(0.5))
            assert (answer.text, answer.stop_reason, answer.tokens) == ("x", "end", 2)


def test_several_holes_are_filled_in_turn(model_dir: Path) -> None:
    engine = Engine.load(model_dir)
    answers = engine.infill_holes(["def f(", "):\n    return ", "\n"], max_tokens=5)
    assert len(answers) == 2 and all(answer.tokens <= 5 for answer in answers)
