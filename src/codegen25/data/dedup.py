"""Deduplication: keys of a document, pairs that share one, and which of a pair stays.

Exact duplicates go first (`exact_key`, `exact_duplicates`), then near-duplicates, in four parts
that also run apart, over a cluster:

    signatures   a row for each text            `minhash.signatures`; 1 KB a document, may be mapped
    keys         25 for each row                `minhash.band_keys`; 200 B a document
    pairs        of rows that share a key       `pairs_of_band` for each band, `verified`
    keep         the best of each family        `keep`

`near_duplicates` does all of it for rows that fit one machine. Working memory beside the
signatures: 200 B a document for keys, 60 B a document for the band being sorted, and 65 B a
candidate pair, of which there are at most `REACH` for each document and band.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen25.data.minhash import NO_KEY, band_keys, estimated_jaccard

THRESHOLD = 0.7
"""Jaccard similarity of 5-grams from which two documents are near-duplicates; BigCode's."""
REACH = 16
"""Documents that share a band's key are each compared with the `REACH` - 1 before them in order,
and with the first: all pairs of up to `REACH` documents, a chain and a star of more."""

Pairs = NDArray[np.intp]
"""(m, 2) row numbers."""
Rank = NDArray[np.integer]
"""(n,) the place of each row in the order of preference, least first; ties go by row."""


class Kept(NamedTuple):
    """What stays. `mask` (n,) is true for a row that is kept; `twin` (n,) is the kept row that
    each row duplicates, itself for a kept one."""

    mask: NDArray[np.bool_]
    twin: NDArray[np.intp]


def exact_key(text: str) -> bytes:
    """16 bytes, the same for texts that differ only at line ends and around the whole.

    Whitespace at the end of a line, and before and after all of the text, does not make it new.
    """
    lines = (line.rstrip() for line in text.strip().splitlines())
    normal = "\n".join(lines).encode("utf-8", "surrogatepass")
    return hashlib.sha256(normal).digest()[:16]


def exact_duplicates(keys: NDArray[np.uint8], rank: Rank) -> Kept:
    """Keep the best-ranked row of each key; `keys` is (n, 16). 60 B a document."""
    halves = np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2).T
    order = np.lexsort((rank, *halves))
    in_order = halves[:, order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (in_order[:, 1:] != in_order[:, :-1]).any(axis=0)
    twin = np.empty(len(order), dtype=np.intp)
    twin[order] = order[_last_true(first)]
    return Kept(twin == np.arange(len(twin)), twin)


def _last_true(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """At each place the last one up to it where `flags`, which begins with a true one, is true."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))


def pairs_of_band(keys: NDArray[np.uint64], rank: Rank | None = None) -> Pairs:
    """Pairs of rows with the same key (n,) in one band, also for the rows of one key alone.

    Two of up to `REACH` rows with the same key are always a pair. Of more, each is paired with
    the `REACH` - 1 before it in the order of `rank` (of rows, without one) and with the first,
    the one that `keep` will most likely keep. Rows with `NO_KEY` have no pair.
    """
    order = np.argsort(keys, kind="stable") if rank is None else np.lexsort((rank, keys))
    order = order[: np.searchsorted(keys[order], NO_KEY)]
    in_order = keys[order]
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = in_order[1:] != in_order[:-1]
    first = _last_true(starts)
    depth = np.arange(len(order)) - first
    places = np.flatnonzero(depth)
    star = places[depth[places] >= REACH]
    found = [np.stack([order[first[star]], order[star]], axis=1)]
    for distance in range(1, REACH):
        places = places[depth[places] >= distance]
        found.append(np.stack([order[places - distance], order[places]], axis=1))
    return np.concatenate(found)


def candidate_pairs(keys: NDArray[np.uint64], rank: Rank | None = None) -> Pairs:
    """The pairs of all bands of `keys` (n, bands), each once, lower row first, in order."""
    count = len(keys)
    codes = np.empty(0, dtype=np.int64)
    for band in range(keys.shape[1]):
        pairs = np.sort(pairs_of_band(keys[:, band], rank), axis=1)
        codes = np.concatenate([codes, pairs[:, 0] * count + pairs[:, 1]])
        codes.sort(kind="stable")  # merges what is in order already, unlike np.unique
        codes = codes[np.diff(codes, prepend=-1) != 0]
    return np.stack(np.divmod(codes, max(1, count)), axis=1)


def verified(pairs: Pairs, signatures: NDArray[np.uint32], threshold: float = THRESHOLD) -> Pairs:
    """The pairs whose estimated similarity, from all 256 values, is at least `threshold`."""
    return pairs[estimated_jaccard(pairs, signatures) >= threshold]


def keep(pairs: Pairs, rank: Rank) -> Kept:
    """Keep each row, in the order of `rank`, unless a row it is paired with is kept already.

    So every dropped row has a kept twin that ranks before it, the best such, and no two kept rows
    are a pair. Time and memory grow with the rows and pairs; one step of Python for each kept row
    that has a pair.
    """
    order = np.lexsort((np.arange(len(rank)), rank))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places = np.sort(place[pairs], axis=1)
    better, worse = places[np.lexsort((places[:, 1], places[:, 0]))].T
    starts = np.flatnonzero(np.diff(better, prepend=-1)).tolist()
    kept = np.arange(len(rank))
    for start, end in pairwise([*starts, len(better)]):
        head, others = better[start], worse[start:end]
        if kept[head] == head:
            kept[others[kept[others] == others]] = head
    twin = np.empty_like(order)
    twin[order] = order[kept]
    return Kept(twin == np.arange(len(twin)), twin)


def near_duplicates(
    signatures: NDArray[np.uint32], rank: Rank, threshold: float = THRESHOLD
) -> Kept:
    """Keep the best-ranked of each family of near-duplicates; `signatures` may be memory-mapped."""
    pairs = candidate_pairs(band_keys(signatures), rank)
    return keep(verified(pairs, signatures, threshold), rank)
