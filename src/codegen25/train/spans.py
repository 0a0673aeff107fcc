"""The distribution of spans as it comes out on a corpus, to be looked at before training."""

from __future__ import annotations

from random import Random

import numpy as np

from codegen25.infill import Corruption, corrupt
from codegen25.train.rows import Rows


def realised(rows: Rows, corruption: Corruption, pieces: int = 2000) -> str:
    """A table of shares and quantiles over the first `pieces` pieces of the corpus."""
    ratios: list[float] = []
    counts: list[int] = []
    lengths: list[int] = []
    shares = dict.fromkeys(("document start", "line start", "line end", "whole lines"), 0)
    causal = seen = 0
    for row in rows.rows:
        for piece in row:
            if seen == pieces:
                break
            text = rows.shard.slice(piece.start, piece.end)
            corrupted = corrupt(text, Random(seen), corruption)
            seen += 1
            if corrupted is None:
                causal += 1
                continue
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
    return _table(seen, causal, counts, ratios, lengths, shares)


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
