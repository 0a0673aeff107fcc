from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.infill import Corruption, Format, Layout
from codegen25.model import Llama, initialize
from codegen25.tokenizer import Tokenizer
from codegen25.train import head
from codegen25.train.objective import IGNORE, Objective, losses
from codegen25.train.recipe import Shape
from codegen25.train.rows import Rows


def rows(corpus: Path, tokenizer: Tokenizer, seed: int = 0, **fields: object) -> Rows:
    asked = Objective(**fields)  # type: ignore[arg-type]
    return Rows(TextShard(corpus), tokenizer, 128, Corruption(rate=0.9), seed, objective=asked)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Llama:
    made = Llama(Shape(layers=2, hidden=32, heads=2, context=64).config(tokenizer.vocab_size))
    initialize(made, torch.Generator().manual_seed(0))
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return made


def asked(vocabulary: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (3, 33), generator=rng)
    targets = ids[:, 1:].clone()
    targets[:, 20:] = IGNORE
    return ids[:, :-1], targets, torch.rand(3, 32, generator=rng) * (targets != IGNORE)


def gradients(model: Llama, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_the_loss_is_cross_entropy_weighted_and_plain(model: Llama) -> None:
    inputs, targets, weights = asked(model.config.vocab_size)
    weighted, plain = losses(model, inputs, targets, weights, 0.0)
    each = F.cross_entropy(model(inputs).transpose(1, 2), targets, reduction="none")
    torch.testing.assert_close(weighted, (each * weights).sum())
    torch.testing.assert_close(plain, each.sum())
    assert weighted.requires_grad and not plain.isnan()


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_chunks_change_neither_loss_nor_gradient(
    model: Llama, z_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = asked(model.config.vocab_size)
    whole = losses(model, *batch, z_loss)
    expected = gradients(model, whole[0])
    monkeypatch.setattr(head, "CHUNK_BYTES", dict.fromkeys(head.CHUNK_BYTES, 0))
    monkeypatch.setattr(head, "LEAST_ROWS", 7)
    parts = losses(model, *batch, z_loss)
    torch.testing.assert_close(parts, whole)
    for a, b in zip(gradients(model, parts[0]), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_z_loss_is_the_squared_denominator(model: Llama) -> None:
    inputs, targets, weights = asked(model.config.vocab_size)
    plain, with_z = (losses(model, inputs, targets, weights, z)[0] for z in (0.0, 0.5))
    denominators = model(inputs).logsumexp(-1)
    torch.testing.assert_close(with_z - plain, 0.5 * (denominators.square() * weights).sum())


def test_recomputing_changes_no_gradient(model: Llama) -> None:
    batch = asked(model.config.vocab_size)
    expected = gradients(model, losses(model, *batch, 0.0)[0])
    model.model.recompute = True
    try:
        found = gradients(model, losses(model, *batch, 0.0)[0])
    finally:
        model.model.recompute = False
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_causal_shows_text_as_it_is(corpus: Path, tokenizer: Tokenizer) -> None:
    shown = rows(corpus, tokenizer, kind="causal")
    for i in range(4):
        ids = shown.ids(i, 0)
        assert not set(ids) & {*shown.sentinels.masks, shown.sentinels.separator}


@pytest.mark.parametrize("kind", ["psm", "spm"])
def test_a_baseline_reads_as_the_prompt_and_its_answer(
    corpus: Path, tokenizer: Tokenizer, kind: str
) -> None:
    shown = rows(corpus, tokenizer, kind=kind)
    fim = shown.fim
    assert fim is not None
    found = 0
    for i in range(8):
        for corrupted, ids in shown.corrupted(i, 0):
            if corrupted is None:
                continue
            found += 1
            border = ids.index(fim.middle)
            before, after = (tokenizer.encode(text) for text in corrupted.kept)
            middle = tokenizer.encode(corrupted.spans[0])
            end = shown.sentinels.end_of_text
            if kind == "psm":
                assert ids[:border] == [fim.prefix, *before, fim.suffix, *after]
                assert ids[border + 1 :] == [*middle, end]
            else:
                assert ids[:border] == [fim.prefix, fim.suffix, *after]
                assert ids[border + 1 :] == [*before, *middle, end]
    assert found > 3
    assert any(shown.arrays(i, 0)[2].any() for i in range(8))


def test_the_config_says_what_a_baseline_was_trained_for(tokenizer: Tokenizer) -> None:
    from codegen25.infill import OUR_FIM

    for kind in ("psm", "spm"):
        form = Format.of(tokenizer, {"infill": {**OUR_FIM, "layout": kind}})
        assert form.layouts[0] == Layout(kind) and Layout.PLAIN not in form.layouts


def test_frozen_spans_are_the_first_epochs(corpus: Path, tokenizer: Tokenizer) -> None:
    fresh, frozen = (rows(corpus, tokenizer, frozen=each) for each in (False, True))
    count = range(len(fresh))
    assert all(frozen.ids(i, 3) == frozen.ids(i, 0) == fresh.ids(i, 0) for i in count)
    assert any(fresh.ids(i, 3) != fresh.ids(i, 0) for i in count)


def test_noise_replaces_text_ids_of_the_input_only(corpus: Path, tokenizer: Tokenizer) -> None:
    plain, noisy = (rows(corpus, tokenizer, noise=share) for share in (0.0, 0.2))
    changed = of = 0
    for i in range(min(30, len(plain))):
        (x, y, a), (nx, ny, na) = plain.arrays(i, 1), noisy.arrays(i, 1)
        assert (y == ny).all() and (a == na).all()
        assert (nx == noisy.arrays(i, 1)[0]).all()
        special = plain.sizes[x] == 0
        assert (x == nx)[special].all() and (plain.sizes[nx] > 0)[~special].all()
        changed += int((x != nx).sum())
        of += int((~special).sum())
    assert 0.15 < changed / of < 0.25
    assert any((noisy.arrays(i, 1)[0] != noisy.arrays(i, 2)[0]).any() for i in range(3))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5))
def test_a_row_follows_from_seed_epoch_and_index(
    corpus: Path, tokenizer: Tokenizer, seed: int, epoch: int
) -> None:
    one, other = (rows(corpus, tokenizer, seed, noise=0.05) for _ in range(2))
    for a, b in zip(one.arrays(1, epoch), other.arrays(1, epoch), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "mlm"}, "infill, causal, psm, spm"),
        ({"noise": 1.0}, "noise"),
        ({"answer_weight": 0.0}, "answer_weight"),
        ({"z_loss": -1.0}, "z_loss"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(**fields)  # type: ignore[arg-type]
