"""The GPU's table, made on a CPU: the same code, another device."""

from __future__ import annotations

import pytest
import torch

from codegen25.bench import gpu_latency, shapes
from codegen25.bench.roofline import Roofline
from codegen25.checkpoint import fill
from codegen25.errors import UserError
from codegen25.model import Llama
from conftest import Run


def test_every_engine_and_floor_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    gpu_latency.run(["1m"], 150, 2, (1, 4), 1, "cpu")
    out = capsys.readouterr().out
    for kind in gpu_latency.KINDS:
        assert f"\n| {kind} |" in out
        assert f"\n| floor {kind} |" in out and f"\n| ours {kind} |" in out
    assert "| transformers bfloat16 |" in out and "not run" not in out


def test_transformers_has_the_weights_that_ours_has() -> None:
    config = shapes.named("1m")
    ids = torch.arange(40)[None]
    model = Llama(config).bfloat16()
    own = fill(model, gpu_latency.drawn(config, "cpu"))(ids)
    peer = gpu_latency.Transformers(config, "cpu").model(ids).logits
    assert (own.float() - peer.float()).abs().max() < 0.15 < own.float().std()


def test_what_was_published_stands_beside_the_shape_it_is_of() -> None:
    row = gpu_latency.published((1, 16, 32, 64))
    assert [row[f"{count} new, ms"] for count in (16, 32, 64)] == [522.0, 760.0, 1226.0]
    floors: dict[str, Roofline] = {}
    table = gpu_latency.table("7b", 2000, 2, (16,), 1, "cpu", floors)
    assert "published" in table[0]["engine"]
    assert not gpu_latency.table("7b", 1000, 2, (16,), 1, "cpu", floors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cuda"], "torch sees no GPU"),
        (["--device", "cuda", "--memory"], "goes with --shape"),
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
