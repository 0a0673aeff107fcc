"""The distribution of spans as it comes out on a corpus, to be looked at before training."""

from __future__ import annotations

import numpy as np

from codegen25.infill import restore
from codegen25.train.rows import Rows


def realised(rows: Rows, pieces: int = 2000) -> str:
    """A table of shares and quantiles over the first `pieces` pieces of the corpus.

    It counts what training sees, after rows that are full have put spans back.
    """
    ratios: list[float] = []
    counts: list[int] = []
    lengths: list[int] = []
    shares = dict.fromkeys(("document start", "line start", "line end", "whole lines"), 0)
    seen = [c for i in range(min(len(rows), pieces)) for c, _ in rows.corrupted(i, 0)][:pieces]
    for corrupted in filter(None, seen):
        text = restore(corrupted)
        counts.append(len(corrupted.spans))
        ratios.append(sum(map(len, corrupted.spans)) / len(text))
        before = ""
        for kept, span in zip(corrupted.kept, corrupted.spans, strict=False):
            before += kept
            starts = not before or before.endswith("\n")
            lengths.append(len(span))
            shares["document start"] += not before
            shares["line start"] += starts
            shares["whole lines"] += starts and span.endswith("\n")
            before += span
            shares["line end"] += _follows(text, len(before))
    return _table(len(seen), len(seen) - len(counts), counts, ratios, lengths, shares)


def _follows(text: str, end: int) -> bool:
    """Whether a newline, or nothing, follows position `end`."""
    return text[end : end + 1] in ("\n", "")


def _table(
    seen: int, causal: int, counts: list[int], ratios: list[float], lengths: list[int],
    shares: dict[str, int],
) -> str:  # fmt: skip
    lines = [f"pieces {seen}, of them causal {causal / max(1, seen):.1%}"]
    for name, values in (
        ("spans a piece", counts), ("masked share", ratios), ("characters a span", lengths),
    ):  # fmt: skip
        if values:
            p10, p50, p90 = np.percentile(values, (10, 50, 90))
            lines.append(f"{name}: p10 {p10:.3g}, p50 {p50:.3g}, p90 {p90:.3g}")
    lines += [f"spans at {name}: {n / max(1, len(lengths)):.1%}" for name, n in shares.items()]
    return "\n".join(lines) + "\n"
