"""From logits to the next id: bias and penalties, warping, and one uniform number a draw.

A draw is the inverse of the distribution function at one uniform number, over ids sorted by
falling logit, ties by id. It is thus a function of the row alone: of its logits, its options and
its number, whatever rows are decoded beside it. Options apply in this order, each to what the one
before it left: bias, repetition, frequency and presence penalties (`adjust`); temperature, top-k,
top-p, min-p (a draw). Each of the last three keeps a head of the sorted ids, so that they are one
cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from codegen25.errors import UserError
from codegen25.sample.options import Sampling

COLD = 1e-4
"""Below this temperature only the likeliest token is left in float32."""
NUCLEUS = 128
"""Likeliest ids that are looked at first, then `WIDE`; a flatter distribution is sorted whole."""
WIDE = 2048
LOWEST = np.finfo(np.float32).min
FAR = np.float32(-80)
"""Exponent whose weight adds nothing to a mass of at least 1, in whatever number."""

Logits = NDArray[np.float32]
Numbers = NDArray[np.float64]
Ids = NDArray[np.int64]


def uniforms(seed: int, key: str, count: int) -> list[float]:
    """The draws of one answer: a function of the seed and the answer's key alone."""
    digest = sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    drawn: list[float] = np.random.default_rng(list(digest)).random(count).tolist()
    return drawn


def adjust(
    logits: Logits, sampling: Sampling, prompt_ids: Sequence[int], answer_ids: Sequence[int]
) -> Logits:
    """Logits (vocabulary,) with bias and penalties; the same array when none is asked for.

    Repetition: CTRL (arXiv 1909.05858), over prompt and answer. Frequency and presence: OpenAI's
    API reference, over the answer. The order is vLLM's. A bias of an id that the vocabulary lacks
    is a UserError.
    """
    if not sampling.adjusts:
        return logits
    adjusted = np.array(logits, dtype=np.float32)
    for token, bias in sampling.logit_bias:
        if token >= len(adjusted):
            raise UserError(
                f"logit-bias names the token {token}; this model's ids end at {len(adjusted) - 1}"
            )
        adjusted[token] += bias
    if sampling.repetition_penalty != 1:
        seen = np.unique(np.array([*prompt_ids, *answer_ids], dtype=np.int64))
        values, penalty = adjusted[seen], np.float32(sampling.repetition_penalty)
        adjusted[seen] = np.where(values > 0, values / penalty, values * penalty)
    tokens, counts = np.unique(np.array(answer_ids, dtype=np.int64), return_counts=True)
    adjusted[tokens] -= sampling.frequency_penalty * counts + sampling.presence_penalty
    return adjusted


def probabilities(logits: Logits, sampling: Sampling) -> Numbers:
    """Probabilities (vocabulary,) of a draw from logits (vocabulary,); they sum to 1."""
    row = np.asarray(logits, dtype=np.float32)
    _peaks(row[None])
    chances = np.zeros(len(row))
    if sampling.temperature < COLD:
        chances[row.argmax()] = 1
        return chances
    ids = np.argsort(-row, kind="stable")[: sampling.top_k or None]
    weights = _weights(row[ids], sampling.temperature)
    sums = np.cumsum(weights)
    kept = _kept(weights, sums, sampling, None)
    chances[ids[:kept]] = weights[:kept] / sums[kept - 1]
    return chances


def draw(logits: Logits, sampling: Sampling, uniform: float) -> int:
    """The next id from logits (vocabulary,), by one uniform number in [0, 1).

    NaN or infinity among the logits is a UserError, and so is a row in which nothing is allowed.
    """
    return draw_rows(np.asarray(logits)[None], [sampling], [uniform])[0]


def draw_rows(
    logits: Logits, samplings: Sequence[Sampling], uniforms: Sequence[float]
) -> list[int]:
    """The next id of each row of logits (rows, vocabulary): what `draw` gives for the row."""
    rows = np.ascontiguousarray(logits, dtype=np.float32)
    peaks = _peaks(rows)
    drawn: list[int] = rows.argmax(-1).tolist()
    waiting = [row for row, each in enumerate(samplings) if each.temperature >= COLD]
    masses = {
        row: _mass(rows[row], peaks[row], samplings[row].temperature)
        for row in waiting
        if not samplings[row].top_k
    }
    for count in (NUCLEUS, WIDE, rows.shape[-1]):
        asked, waiting = waiting, []
        for row, values in zip(asked, _likeliest(rows, asked, count), strict=True):
            place = _place(values, samplings[row], uniforms[row], masses.get(row), rows.shape[-1])
            if place is None:
                waiting.append(row)
            else:
                drawn[row] = _id(rows[row], values, place)
    return drawn


def logprobs(
    logits: Logits, token: int, alternatives: int
) -> tuple[float, list[tuple[int, float]]]:
    """A token's log-probability and the likeliest `alternatives` (id, log-probability).

    Of the logits (vocabulary,) as they are, at temperature 1; ids that cannot be drawn are left
    out of the alternatives.
    """
    row = np.asarray(logits, dtype=np.float32)
    shifted = row.astype(np.float64) - float(_peaks(row[None])[0])
    logs = shifted - np.log(np.exp(shifted).sum())
    if not alternatives:
        return float(logs[token]), []
    floor = np.partition(row, -min(alternatives, len(row)))[-min(alternatives, len(row))]
    near = np.flatnonzero(row >= max(floor, LOWEST))
    ids = near[np.argsort(-row[near], kind="stable")][:alternatives]
    return float(logs[token]), [(int(i), float(logs[i])) for i in ids]


def _peaks(rows: Logits) -> Logits:
    """The highest logit of each row; a UserError where there is none to draw."""
    peaks: Logits = rows.max(-1)
    if not np.isfinite(peaks).all():
        if np.isneginf(peaks).any():
            raise UserError("no token may follow here: what is asked for excludes every one")
        raise UserError("the model computes no numbers (NaN): its weights are damaged")
    return peaks


def _likeliest(rows: Logits, asked: Sequence[int], count: int) -> Logits:
    """The highest logits of the rows that are asked for, (rows, at most `count`), falling."""
    chosen = rows if len(asked) == len(rows) else rows[asked]
    if count < rows.shape[-1] and len(asked):
        chosen = np.partition(chosen, -count, axis=-1)[:, -count:]
    return np.sort(chosen, axis=-1)[:, ::-1]


def _mass(row: Logits, peak: np.float32, temperature: float) -> float:
    """Weight of a whole row, the likeliest id's being 1; to the precision of float32."""
    scaled = row - peak
    scaled *= np.float32(1 / temperature)
    np.maximum(scaled, FAR, out=scaled)  # below, subnormal numbers would slow the sum down
    return float(np.exp(scaled, out=scaled).sum())


def _weights(values: Logits, temperature: float) -> Numbers:
    """Weights of falling logits at a temperature; the likeliest weighs 1."""
    weights: Numbers = np.exp((values.astype(np.float64) - float(values[0])) / temperature)
    return weights


def _kept(weights: Numbers, sums: Numbers, sampling: Sampling, mass: float | None) -> int:
    """How many ids top-p and min-p keep; one more than there are weights: some beyond them.

    `sums` are the running sums of the falling `weights`; `mass` is the weight of all that top-k
    left, None when these are that.
    """
    count = len(weights)
    kept, left = (count, float(sums[-1])) if mass is None else (count + 1, mass)
    if sampling.top_p < 1:
        # An id stays if the mass before it has not yet reached top_p, so at least one stays.
        kept = min(kept, int(sums.searchsorted(sampling.top_p * left)) + 1)
    if sampling.min_p > 0 and weights[-1] < sampling.min_p:
        kept = min(kept, int(np.count_nonzero(weights >= sampling.min_p)))
    return kept


def _place(
    values: Logits, sampling: Sampling, uniform: float, mass: float | None, vocabulary: int
) -> int | None:
    """Which of a row's highest logits, falling, is drawn; None when that takes more of them.

    `mass` is the weight of the whole row, unknown where there is a top-k.
    """
    if sampling.top_k > len(values) < vocabulary:
        return None
    values = values[: sampling.top_k or None]
    if sampling.top_k or len(values) == vocabulary or values[-1] < LOWEST:
        mass = None
    weights = _weights(values, sampling.temperature)
    sums, count = np.cumsum(weights), len(weights)
    mass = mass and max(mass, float(sums[-1]))
    kept = _kept(weights, sums, sampling, mass)
    if kept <= count:
        last = int(sums.searchsorted(sums[kept - 1]))  # no id of weight 0 is drawn
        return min(int(sums.searchsorted(uniform * sums[kept - 1], "right")), last)
    if mass is None or sampling.top_p < 1 or sampling.min_p > 0:
        return None
    place = int(sums.searchsorted(uniform * mass, "right"))
    return place if place < count else None


def _id(row: Logits, values: Logits, place: int) -> int:
    """The id of the falling logit `values[place]`; those that tie come by rising id."""
    higher = len(values) - int(values[::-1].searchsorted(values[place], "right"))
    return int((row == values[place]).nonzero()[0][place - higher])
