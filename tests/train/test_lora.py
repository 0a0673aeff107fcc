from __future__ import annotations

import pytest
import torch

from codegen25.errors import UserError
from codegen25.model import Llama, initialize
from codegen25.train.lora import LoraConfig, adapt, merged_state
from codegen25.train.optimizer import OptimizerConfig, build
from codegen25.train.recipe import Shape


def model() -> Llama:
    made = Llama(Shape(layers=2, hidden=32, heads=2, context=64).config(300))
    rng = torch.Generator().manual_seed(0)
    initialize(made, rng)
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=rng)
    return made


def test_an_adapter_starts_as_nothing_and_merges_into_the_weight() -> None:
    plain, adapted = model().double(), model()
    rng = torch.Generator().manual_seed(1)
    adapt(adapted, LoraConfig(rank=4), rng)
    adapted.double()  # so that what is left of a difference is no rounding
    ids = torch.arange(20)[None]
    torch.testing.assert_close(adapted(ids), plain(ids))
    for name, parameter in adapted.named_parameters():
        if ".lora_b" in name:
            parameter.data.normal_(generator=rng)
    state = merged_state(adapted)
    assert state.keys() == plain.state_dict().keys()
    merged = model().double()
    merged.load_state_dict(state)
    assert not torch.allclose(merged(ids), plain(ids))
    torch.testing.assert_close(merged(ids), adapted(ids), rtol=1e-7, atol=1e-8)


def test_only_adapters_are_trained_by_adamw() -> None:
    adapted = model()
    adapt(adapted, LoraConfig(rank=2, targets=("q_proj", "v_proj")), torch.Generator())
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 2 * 2 and all(".lora_" in name for name in trained)
    (optimizer,) = build(adapted, OptimizerConfig(adam_lr=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 8


@pytest.mark.parametrize(
    "fields", [{"rank": -1}, {"alpha": 0.0}, {"targets": ()}, {"targets": ("w1",)}]
)
def test_a_mistake_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(UserError, match="lora"):
        LoraConfig(**fields)  # type: ignore[arg-type]
