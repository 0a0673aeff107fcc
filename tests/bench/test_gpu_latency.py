"""The GPU's table, made on a CPU: the same code, another device."""

from __future__ import annotations

import pytest
import torch

from codegen25.bench import gpu_latency, shapes
from codegen25.checkpoint import fill
from codegen25.errors import UserError
from codegen25.model import Llama
from conftest import Run


def test_every_engine_and_floor_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    gpu_latency.run(["1m"], 150, 2, (1, 4), 1, "cpu")
    out = capsys.readouterr().out
    for kind in gpu_latency.KINDS:
        assert f"{kind}, TFLOP/s" in out
        assert f"\n| floor {kind} |" in out and f"\n| ours {kind} |" in out
    assert "| transformers bfloat16 |" in out and "not run" not in out


def test_transformers_has_the_weights_that_ours_has() -> None:
    config = shapes.named("1m")
    ids = torch.arange(40)[None]
    model = Llama(config).bfloat16()
    own = fill(model, dict(gpu_latency.drawn(config, "cpu")))(ids)
    peer = gpu_latency.Transformers(config, "cpu").model(ids).logits
    assert (own.float() - peer.float()).abs().max() < 0.15 < own.float().std()


def test_what_was_published_stands_beside_the_shape_it_is_of() -> None:
    row = gpu_latency.published((1, 16, 32, 64))
    assert [row[f"{count} new, ms"] for count in (16, 32, 64)] == [522.0, 760.0, 1226.0]
    floor = gpu_latency.Floor({}, 1.0)
    table = gpu_latency.table("7b", 2000, 2, (16,), 1, "cpu", floor)
    assert "published" in table[0]["engine"]
    assert not gpu_latency.table("7b", 1000, 2, (16,), 1, "cpu", floor)


def test_the_floor_is_blocks_attention_head_and_keys() -> None:
    config = shapes.named("7b")
    floor = gpu_latency.Floor({"bfloat16": 1e15, "int8": 2e15}, 4e12)
    blocks, head = 6.477e9, 51_200 * 4096
    keys = 4 * 32 * 4096 * 2000 * 2
    attention = 2.0 * 32 * 4096 * 2000**2
    for kind, size, rate in (("bfloat16", 2, 1e15), ("int8", 1, 2e15)):
        row = floor.of(kind, config, 2000, 2, (1, 16))
        step = 1000 * (blocks * size + 2 * head + keys) / 4e12
        prompt = 2000 * (2 * blocks * 2000 / rate + attention / 1e15)
        assert row["a step, ms"] == pytest.approx(step, rel=1e-3)
        assert row["1 new token, ms"] == pytest.approx(prompt, rel=1e-3)
        assert row["16 new, ms"] == pytest.approx(prompt + 15 * step, rel=1e-3)


def test_what_does_not_fit_is_a_row() -> None:
    def full() -> gpu_latency.Ours:
        raise torch.OutOfMemoryError("CUDA out of memory")

    [row] = gpu_latency.beside_each_other([("ours", full)], [[1, 2]], (1,), 1)
    assert "does not fit" in row["engine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cuda"], "torch sees no GPU"),
        (["--device", "cuda", "--memory"], "goes with --shape"),
        (["--device", "cuda", "--threads", "2"], "goes with --shape"),
        (["--device", "meta2"], "device 'meta2' cannot be used"),
    ],
)
def test_devices_that_are_not_there(run: Run, arguments: list[str], message: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, _, err = run("bench", "latency", *arguments)
    assert code == 2 and message in err


def test_prompts_longer_than_the_shape_are_refused() -> None:
    with pytest.raises(UserError, match="exceed the shape's 4096"):
        gpu_latency.run(["1m"], 4096, 1, (1,), 1, "cpu")
