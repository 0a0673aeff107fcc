"""MinHash signatures of texts over word 5-grams, vectorised, and the keys of their bands.

Words are runs of ASCII letters, digits and `_`, as BigCode splits code, lower-cased as StarCoder2
does: a copy that only changes case is a copy. All other characters separate words.

One hash per 5-gram fills one of 256 bins with its least value (one-permutation hashing, Li, Owen
and Zhang 2012); an empty bin borrows from a fixed random order of the others (optimal
densification, Shrivastava 2017). Two signatures agree at a value with probability equal to the
Jaccard similarity J of the two sets of 5-grams. The share of equal values varies by at most about
J(1 - J) / 256, as with 256 permutations: large sets are drawn without replacement, and small ones
as if with it.

Hashes are arithmetic modulo 2^64 with constants fixed here, so signatures agree between processes,
machines and versions of numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

NGRAM = 5
"""Words in a row that make one element of a document's set; BigCode's setting."""
VALUES = 256
"""Values in a signature: 1 KB a document."""
BANDS, ROWS = 25, 10
"""BigCode's bands for J = 0.7: a pair shares a key with probability 1 - (1 - J^10)^25, which is
0.51 at J = 0.7, 0.94 at 0.8 and 0.996 at 0.85. Six of the 256 values stand in no band."""
EMPTY = np.uint32(2**32 - 1)
"""Every value of a signature of a text with fewer than `NGRAM` words."""
NO_KEY = np.uint64(2**64 - 1)
"""The key, in every band, of a document without a signature; it matches nothing."""

_WINDOW = 1 << 17
"""Bytes hashed at once: few enough that the arrays of them stay in a core's cache."""
_TEXTS = 1024
_GAP = re.compile(rb"[^A-Za-z0-9_]")
_BIN = np.uint64(56)

Keys = NDArray[np.uint64]


def _mix(values: Keys) -> Keys:
    """The finaliser of MurmurHash3, a bijection; in place."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values ^= values >> np.uint64(33)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(33)
    return values


def _constants(stream: int, count: int) -> Keys:
    """`count` odd 64-bit constants, different for each `stream`."""
    counter = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)
    return _mix(counter * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def _powers(base: int, count: int) -> Keys:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _letters() -> Keys:
    """A constant for each byte of a word, the same for both cases, and 0 for each other byte."""
    table = _constants(1, 256)
    table[[byte for byte in range(256) if _GAP.match(bytes([byte]))]] = 0
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1]
    return table


_LETTERS = _letters()
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_POWERS, _INVERSES = _powers(_BASE, 2 * _WINDOW), _powers(_INVERSE, 2 * _WINDOW)
_PLACES = _constants(2, NGRAM)
_ROWS = _constants(3, BANDS * ROWS)
_DONORS = np.argsort(_constants(4, VALUES * VALUES).reshape(VALUES, VALUES), axis=0, kind="stable")
"""[t, b] is the bin that bin b, when empty, asks at its t-th try."""


def signature(text: str) -> NDArray[np.uint32]:
    """The 256 values of one text; `signatures` is faster for many."""
    return signatures([text])[0]


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """One row of 256 values for each text; a row of `EMPTY` for one with fewer than 5 words.

    Works in about 12 MB, or about 12 bytes for each byte of the longest text if that is more.
    """
    table = np.full((len(texts), VALUES), EMPTY, dtype=np.uint32)
    for first, group in _groups(texts):
        part = table[first : first + len(group)]
        document, ngrams = _ngrams(group)
        bins = document * VALUES + (ngrams >> _BIN).astype(np.intp)
        np.minimum.at(part.reshape(-1), bins, ngrams.astype(np.uint32))
        _densify(part)
    return table


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, list[bytes]]]:
    """Texts in UTF-8, as many at a time as fill a window, with the index of the first."""
    first, size = 0, 0
    group: list[bytes] = []
    for index, text in enumerate(texts):
        group.append(text.encode("utf-8", "surrogatepass"))
        size += len(group[-1])
        if size >= _WINDOW or len(group) == _TEXTS or index == len(texts) - 1:
            yield first, group
            first, size, group = index + 1, 0, []


def _ngrams(group: list[bytes]) -> tuple[NDArray[np.intp], Keys]:
    """Of all 5-grams of the texts: the text each stands in, and its hash."""
    blob = b"\0" + b"\0".join(group) + b"\0"
    parts = [_words(blob, begin, end) for begin, end in _windows(blob)]
    starts = np.concatenate([start for start, _ in parts])
    words = np.concatenate([hashes for _, hashes in parts])
    count = max(0, len(words) - NGRAM + 1)
    ngrams = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_PLACES):
        ngrams += words[place : place + count] * factor
    begins = np.cumsum([1] + [len(text) + 1 for text in group[:-1]])
    document = np.searchsorted(begins, starts, side="right") - 1
    whole = document[:count] == document[len(words) - count :]
    return document[:count][whole], _mix(ngrams[whole])


def _windows(blob: bytes) -> Iterator[tuple[int, int]]:
    """Stretches that begin and end with a gap and cut no word; each starts with the last's end."""
    begin = 0
    while begin < len(blob) - 1:
        gap = _GAP.search(blob, min(begin + _WINDOW, len(blob) - 1))
        assert gap is not None
        yield begin, gap.end()
        begin = gap.start()


def _words(blob: bytes, begin: int, end: int) -> tuple[NDArray[np.intp], Keys]:
    """Where each word of `blob[begin:end]` starts in `blob`, and its hash.

    The hash of a word is its polynomial modulo 2^64 at `_BASE`, read off the running sum of the
    whole stretch's and divided by the power at which the word begins.
    """
    letters = _LETTERS[np.frombuffer(blob, dtype=np.uint8, count=end - begin, offset=begin)]
    inside = letters != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    before, last = edges[::2], edges[1::2]
    powers, inverses = _POWERS, _INVERSES
    if len(letters) > len(powers):  # a word longer than a window
        powers, inverses = _powers(_BASE, len(letters)), _powers(_INVERSE, len(letters))
    letters *= powers[: len(letters)]
    total = np.cumsum(letters)
    return before + (begin + 1), (total[last] - total[before]) * inverses[before]


def _densify(table: NDArray[np.uint32]) -> None:
    """Fill the empty bins of each row that has a full one; in place."""
    empty = table == EMPTY
    holes = np.flatnonzero(empty & ~empty.all(axis=1, keepdims=True))
    flat = table.reshape(-1)
    known = flat.copy()
    for donors in _DONORS:
        if not len(holes):
            return
        value = holes & (VALUES - 1)
        flat[holes] = found = known[holes - value + donors[value]]
        holes = holes[found == EMPTY]


def band_keys(signatures: NDArray[np.uint32], chunk: int = 4096) -> Keys:
    """The key of each document, a row of `signatures`, in each of the 25 bands: (n, 25).

    Reads `chunk` rows at a time, so `signatures` may be memory-mapped; 200 bytes a document.
    """
    keys = np.empty((len(signatures), BANDS), dtype=np.uint64)
    for begin in range(0, len(signatures), chunk):
        part = np.asarray(signatures[begin : begin + chunk])
        terms = (part[:, : BANDS * ROWS] * _ROWS).reshape(-1, BANDS, ROWS)
        hashed = np.minimum(_mix(terms.sum(axis=2)), NO_KEY - np.uint64(1))
        without = (part == EMPTY).all(axis=1, keepdims=True)
        keys[begin : begin + chunk] = np.where(without, NO_KEY, hashed)
    return keys


def estimated_jaccard(
    pairs: NDArray[np.intp], signatures: NDArray[np.uint32], chunk: int = 4096
) -> NDArray[np.float64]:
    """The share of equal values of each pair (m, 2) of rows: J, to a deviation of 0.03 or less."""
    shares = np.empty(len(pairs))
    for begin in range(0, len(pairs), chunk):
        left, right = pairs[begin : begin + chunk].T
        shares[begin : begin + chunk] = (signatures[left] == signatures[right]).mean(axis=1)
    return shares
