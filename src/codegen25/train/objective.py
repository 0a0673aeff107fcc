"""What a step minimises: span corruption or one of its baselines, and the loss over it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codegen25.errors import UserError
from codegen25.model import Angles, Llama
from codegen25.train.head import IGNORE, HeadLoss

KINDS = ("infill", "causal", "psm", "spm")
__all__ = ["IGNORE", "KINDS", "Objective", "losses"]


@dataclass(frozen=True)
class Objective:
    """How documents are shown, and how their tokens are weighed.

    kind           "infill", span corruption as `corruption` says; or, to compare with it, "causal",
                   text as it is, and "psm" and "spm", fill-in-the-middle with one span (arXiv
                   2207.14255), at `corruption.rate` too.
    frozen         each epoch sees the spans of the first, instead of new ones.
    noise          share of the input ids that are replaced by random ones, targets staying what
                   they were; delays over-fitting in many epochs (arXiv 2606.16246 takes 0.05).
    answer_weight  of the loss of a token in an answer, beside 1 for the text around it. A model
                   with little compute learns more of infilling from each hole; the loss that is
                   reported stays unweighted.
    z_loss         times the squared logarithm of the softmax's denominator; keeps logits small
                   (PaLM, arXiv 2204.02311, takes 1e-4).
    """

    kind: str = "infill"
    frozen: bool = False
    noise: float = 0.0
    answer_weight: float = 1.0
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"objective.kind is {self.kind!r}; it is {', '.join(KINDS)}")
        if not 0 <= self.noise < 1:
            raise UserError(f"objective.noise is {self.noise}; it lies from 0 to below 1")
        if not 0 < self.answer_weight < 1e6:
            raise UserError(
                f"objective.answer_weight is {self.answer_weight}; it is above 0 and finite"
            )
        if not 0 <= self.z_loss < 1:
            raise UserError(f"objective.z_loss is {self.z_loss}; it lies from 0 to below 1")


def losses(
    model: Llama,
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor,
    z_loss: float,
    documents: Tensor | None = None,
    angles: Angles | None = None,
) -> Tensor:
    """Cross-entropy in nats, summed with the weights (and z-loss) and without: (2,).

    `inputs`, `targets`, `weights` and `documents` are (B, T); for the last and `angles` see
    `Llama.hidden`. Only the first of the two has a gradient.
    """

    def head(hidden: Tensor, weight: Tensor) -> Tensor:
        x, y, w = (each.flatten(0, 1) for each in (hidden, targets, weights))
        made: Tensor = HeadLoss.apply(x, weight, y, w, z_loss)  # type: ignore[no-untyped-call]
        return made

    made: Tensor = model(inputs, head=head, documents=documents, angles=angles)
    return made
