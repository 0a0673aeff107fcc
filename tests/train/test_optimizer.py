from __future__ import annotations

import pytest
import torch

from codegen25.model import Llama, initialize
from codegen25.train import precision
from codegen25.train.optimizer import OptimizerConfig, build, orthogonalize
from codegen25.train.recipe import Shape
from codegen25.train.schedule import Schedule, average_decay


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 64, 24), (2, 24, 64)])
def test_updates_come_out_nearly_orthogonal(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    # A random square matrix has singular values near 0, which five iterations only lift.
    assert float(values.min()) > 0.3 and float(values.median()) > 0.65
    assert float(values.max()) < 1.3


def test_one_batch_of_matrices_is_as_good_as_each_alone() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(4, 16, 32)
    alone = torch.cat([orthogonalize(m[None]) for m in matrices])
    assert torch.allclose(orthogonalize(matrices), alone, atol=1e-5)


def model() -> Llama:
    built = Llama(Shape(layers=2, hidden=32, heads=2).config(400))
    initialize(built, torch.Generator().manual_seed(0))
    return built


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_is_in_one_group_and_norms_never_decay(kind: str) -> None:
    built = model()
    optimizers = build(built, OptimizerConfig(kind=kind))
    groups = [group for each in optimizers for group in each.param_groups]
    members = [id(p) for group in groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in built.parameters())
    decayed = [p for g in groups if g["weight_decay"] for p in g["params"]]
    assert all(p.ndim == 2 and p is not built.lm_head.weight for p in decayed)
    assert len(decayed) == 14


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_few_steps_learn_a_fixed_batch(kind: str) -> None:
    built = model()
    optimizers = build(built, OptimizerConfig(kind=kind, muon_lr=0.02, adam_lr=0.01))
    ids = torch.arange(60).remainder(7)[None]
    losses = []
    for _ in range(40):
        logits = built(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits[0], ids[0, 1:])
        loss.backward()
        for each in optimizers:
            each.step()
            each.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 < losses[0]


def test_the_rate_warms_up_stays_and_falls() -> None:
    wsd = Schedule("wsd", warmup=10, cooldown=0.4, final=0.0)
    rates = [wsd.factor(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == 1.0
    assert rates[60] == 1.0 and rates[80] == pytest.approx(0.5) and 0 < rates[99] < 0.03


def test_a_long_horizon_keeps_the_cosine_high() -> None:
    high = Schedule("cosine", warmup=0, horizon=4.0).factor(99, 100)
    done = Schedule("cosine", warmup=0, horizon=1.0, final=0.1).factor(100, 100)
    assert high > 0.85 and done == pytest.approx(0.1)


def test_a_constant_rate_is_the_peak_to_the_end() -> None:
    constant = Schedule("constant", warmup=4, horizon=1.0, cooldown=1.0, final=0.1)
    rates = [constant.factor(step, 12) for step in range(12)]
    assert rates == [0.25, 0.5, 0.75] + [1.0] * 9


def test_the_cosine_is_half_way_down_half_way_through() -> None:
    cosine = Schedule("cosine", warmup=20, horizon=2.0, final=0.2)
    assert cosine.factor(20 + 90, 100) == pytest.approx(0.6)
    assert cosine.factor(20, 100) == 1.0 and cosine.factor(300, 100) == pytest.approx(0.2)


def test_an_average_forgets_its_start_faster() -> None:
    decays = [average_decay(0.9, step) for step in range(200)]
    assert decays[:3] == [1 / 10, 2 / 11, 3 / 12]
    assert sorted(decays) == decays and decays[79] < decays[80] == decays[-1] == 0.9


def test_the_number_format_is_measured() -> None:
    assert precision.choose("float32", "cpu") is torch.float32
    assert precision.choose("bfloat16", "cpu") is torch.bfloat16
    assert precision.choose("auto", "cuda") is torch.bfloat16
    assert precision.choose("auto", "cpu") in (torch.float32, torch.bfloat16)
    assert precision.gemm_rate(torch.float32, 64, 1) > 0
