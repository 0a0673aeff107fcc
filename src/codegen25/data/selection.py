"""The middle of the pipeline: which of all parts' documents make the corpus.

Everything here needs to know all documents at once, but not their text: a few hundred bytes each,
and a signature of 1 KB while near-twins are looked for.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.data import dedup
from codegen25.data.documents import GENERATED, Tally
from codegen25.data.engines import Columns, Engine
from codegen25.data.licenses import rank as license_rank
from codegen25.data.minhash import band_keys
from codegen25.data.parts import KEYS, SIGNATURES, open_part
from codegen25.data.recipe import DataRecipe

UNCAPPED = "python-stdlib"
"""The repository that `max_repo_kb` spares."""


@dataclass(frozen=True)
class Listing:
    """All documents of all parts, in order; entry i of each list is document i."""

    parts: tuple[Path, ...]
    part: NDArray[np.int64]
    index: NDArray[np.int64]
    size: NDArray[np.int64]
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, parts: Sequence[Path]) -> Listing:
        """List the documents of finished parts."""
        shards = [open_part(part) for part in parts]
        counts = [len(shard) for shard in shards]
        none = [np.zeros(0, dtype=np.int64)]
        return cls(
            tuple(parts),
            np.repeat(np.arange(len(parts)), counts),
            np.concatenate([np.arange(count) for count in counts] + none),
            np.concatenate([np.diff(shard.ends, prepend=0) for shard in shards] + none),
            [row for shard in shards for row in shard.rows()],
        )

    def name(self, i: int) -> str:
        """`repo/path` of document i."""
        return f"{self.rows[i]['repo']}/{self.rows[i]['path']}"

    def offsets(self) -> list[int]:
        """The number of the first document of each part."""
        return np.searchsorted(self.part, np.arange(len(self.parts))).tolist()


def select(listing: Listing, recipe: DataRecipe, engine: Engine, tally: Tally) -> NDArray[np.int64]:
    """The documents that stay, ascending, counted in `tally` step by step."""
    rank = keep_order(listing)
    kept = np.arange(len(listing.rows))
    if recipe.max_repo_kb:
        # Before the twins: one that is dropped for its share must not take its family along.
        fits = within_share(listing, kept, recipe)
        kept = _drop(
            listing, kept, fits, "share of a repository", "over the repository's share", None, tally
        )
    exact = _exact(listing, kept, rank)
    kept = _drop(listing, kept, exact.mask, "exact duplicates", "an exact copy", exact.twin, tally)
    if recipe.near_dedup and len(kept):
        near = dedup.keep(near_twins(listing, exact.mask, rank, engine), rank)
        kept = _drop(listing, kept, near.mask, "near duplicates", "a near copy", near.twin, tally)
    return kept


def _exact(listing: Listing, kept: NDArray[np.int64], rank: NDArray[np.int64]) -> dedup.Kept:
    """The exact duplicates among the documents `kept`, in the numbers of all documents."""
    keys = [np.load(part / KEYS) for part in listing.parts]
    among = dedup.exact_duplicates(
        np.concatenate([*keys, np.zeros((0, 16), dtype=np.uint8)])[kept], rank[kept]
    )
    twin, mask = np.arange(len(rank)), np.zeros(len(rank), dtype=bool)
    twin[kept], mask[kept] = kept[among.twin], among.mask
    return dedup.Kept(mask, twin)


def keep_order(listing: Listing) -> NDArray[np.int64]:
    """The place of each document in the order of preference among twins.

    Permissive licences first, then none named; more stars; path; repository.
    """
    rows = listing.rows
    ordered = sorted(
        range(len(rows)),
        key=lambda i: (
            license_rank(rows[i]["license"]), -(rows[i]["stars"] or 0), rows[i]["path"],
            rows[i]["repo"], i,
        ),
    )  # fmt: skip
    rank = np.empty(len(rows), dtype=np.int64)
    rank[ordered] = np.arange(len(rows))
    return rank


def near_twins(
    listing: Listing, among: NDArray[np.bool_], rank: NDArray[np.int64], engine: Engine
) -> NDArray[np.int64]:
    """Sorted pairs (m, 2) of documents of `among` whose estimated Jaccard similarity is over the
    threshold."""
    borders = listing.offsets()[1:]
    items = [
        (str(part), documents, among[documents], rank[documents])
        for part, documents in zip(
            listing.parts, np.split(np.arange(len(rank)), borders), strict=True
        )
    ]
    found = engine.group(_bands, _pairs, items, "band")
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    codes = np.unique(found["a"] * len(rank) + found["b"])
    signatures = np.concatenate([np.load(part / SIGNATURES) for part in listing.parts])
    return dedup.verified(np.stack(np.divmod(codes, len(rank)), axis=1), signatures)


def _bands(
    item: tuple[str, NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]],
) -> Columns:
    """Rows (band, key, document, rank) of a part's documents that take part: 25 for each."""
    part, documents, among, rank = item
    keys = band_keys(np.load(Path(part) / SIGNATURES)[among])
    count, bands = keys.shape
    return {
        "band": np.repeat(np.arange(bands), count),
        "key": keys.T.reshape(-1),
        "document": np.tile(documents[among], bands),
        "rank": np.tile(rank[among], bands),
    }


def _pairs(group: Columns) -> Columns:
    """The pairs (a, b), a < b, that share a key in a band; the same in whatever order rows come."""
    order = np.argsort(group["document"])
    documents = group["document"][order]
    pairs = documents[dedup.pairs_of_band(group["key"][order], group["rank"][order])]
    return {
        "a": pairs.min(axis=1, initial=np.iinfo(np.int64).max),
        "b": pairs.max(axis=1, initial=0),
    }


def within_share(
    listing: Listing, kept: NDArray[np.int64], recipe: DataRecipe
) -> NDArray[np.bool_]:
    """Which documents fit into their repository's share, drawn by hash; functions come beside."""
    mask = np.ones(len(listing.rows), dtype=bool)
    repos: dict[str, list[int]] = defaultdict(list)
    for i in kept.tolist():
        if listing.rows[i]["repo"] != UNCAPPED and "::" not in listing.rows[i]["path"]:
            repos[listing.rows[i]["repo"]].append(i)
    for members in repos.values():
        taken = 0
        for i in sorted(members, key=lambda i: draw(recipe.seed, listing.name(i))):
            fits = taken + listing.size[i] <= recipe.max_repo_kb * 1000
            mask[i] = fits
            taken += int(listing.size[i]) if fits else 0
    return mask


def held_out(sizes: Counter[str], share: float, seed: int) -> set[str]:
    """Repositories, drawn by hash, whose bytes together reach `share` of the whole.

    One larger than a third of that is never drawn, so that several are held out; nor is one that a
    grammar has written, unless there are no others: what it writes elsewhere tells all about it.
    """
    total = sum(sizes.values())
    people = [repo for repo in sizes if not repo.startswith(GENERATED)]
    held: set[str] = set()
    reached = 0
    for repo in sorted(people or sizes, key=lambda name: draw(seed, name)):
        if reached >= share * total:
            break
        if sizes[repo] <= share * total / 3:
            held.add(repo)
            reached += sizes[repo]
    return held


def draw(seed: int, *names: str) -> bytes:
    """A key that orders things at random, the same on every machine."""
    return hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()


def _drop(
    listing: Listing,
    kept: NDArray[np.int64],
    mask: NDArray[np.bool_],
    step: str,
    reason: str,
    twin: NDArray[np.int64] | None,
    tally: Tally,
) -> NDArray[np.int64]:
    count = tally.of(step)
    for i in kept.tolist():
        count.enter(int(listing.size[i]))
        if mask[i]:
            count.leave(int(listing.size[i]))
        else:
            of = f" = {listing.name(int(twin[i]))}" if twin is not None else ""
            count.note(reason, listing.name(i) + of)
    return kept[mask[kept]]
