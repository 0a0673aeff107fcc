from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codegen25.train import head
from codegen25.train.head import IGNORE, HeadLoss


def drawn(rows: int, vocabulary: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 8, generator=rng).requires_grad_()
    matrix = torch.randn(vocabulary, 8, generator=rng).requires_grad_()
    targets = torch.randint(vocabulary, (rows,), generator=rng)
    targets[::3] = IGNORE
    weights = torch.rand(rows, generator=rng) * (targets != IGNORE)
    return hidden, matrix, targets, weights


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), vocabulary=st.integers(2, 30), chunk=st.integers(1, 50),
       z_loss=st.sampled_from([0.0, 0.1]), scale=st.floats(0.1, 3))  # fmt: skip
def test_it_is_cross_entropy_of_the_product(
    rows: int, vocabulary: int, chunk: int, z_loss: float, scale: float
) -> None:
    hidden, matrix, targets, weights = drawn(rows, vocabulary)
    logits = F.linear(hidden, matrix)
    each = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")
    expected = torch.dot(each, weights) + z_loss * torch.dot(logits.logsumexp(-1) ** 2, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "chunk_rows", lambda vocabulary, device: chunk)
        made = HeadLoss.apply(hidden, matrix, targets, weights, z_loss)
    torch.testing.assert_close(made[0], expected)
    torch.testing.assert_close(made[1], each.sum())
    wanted = torch.autograd.grad(scale * expected, (hidden, matrix))
    found = torch.autograd.grad(scale * made[0], (hidden, matrix))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_and_no_gradient_at_all() -> None:
    hidden, matrix, targets, weights = drawn(9, 5)
    (expected,) = torch.autograd.grad(
        HeadLoss.apply(hidden, matrix, targets, weights, 0.0)[0], hidden
    )
    frozen = HeadLoss.apply(hidden, matrix.detach(), targets, weights, 0.0)
    torch.testing.assert_close(torch.autograd.grad(frozen[0], hidden)[0], expected)
    with torch.no_grad():
        assert torch.equal(HeadLoss.apply(hidden, matrix, targets, weights, 0.0), frozen)


def test_under_autocast_products_are_narrow_and_gradients_are_not() -> None:
    hidden, matrix, targets, weights = drawn(40, 12)
    exact = HeadLoss.apply(hidden, matrix, targets, weights, 0.01)[0]
    wanted = torch.autograd.grad(exact, (hidden, matrix))
    with torch.autocast("cpu", torch.bfloat16):
        narrow = HeadLoss.apply(hidden, matrix, targets, weights, 0.01)[0]
    found = torch.autograd.grad(narrow, (hidden, matrix))
    assert narrow.dtype == torch.float32 and narrow != exact
    torch.testing.assert_close(narrow, exact, rtol=0.02, atol=0.0)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).norm()) < 0.05 * float(b.norm())


def test_chunks_fit_the_cache_and_are_not_too_thin() -> None:
    assert head.chunk_rows(4096, "cpu") * 4096 * 4 == head.CHUNK_BYTES["cpu"]
    assert head.chunk_rows(10**9, "cpu") == head.LEAST_ROWS
    assert head.chunk_rows(51_200, "cuda") > head.chunk_rows(51_200, "cpu")
