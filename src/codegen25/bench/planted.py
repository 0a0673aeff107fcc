"""Documents with planted near-copies, the exact truth about them, and a verdict on who stays.

Copies have identifiers renamed, lines inserted and deleted, another licence header. The truth is
exact: all pairs with J >= 0.6 of lower-cased 5-grams of words.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np

from codegen25.errors import UserError

THRESHOLD, NEAR = 0.7, 0.6
NGRAM = 5
WORD = re.compile(r"[a-z0-9_]+")
NAME = re.compile(r"\b[A-Za-z_]\w{2,}\b")


# ---------------------------------------------------------------------------- the documents


def pieces(folder: Path, longest: int, rng: random.Random) -> list[str]:
    """The files below `folder` in random order, cut at line ends into 200 to `longest` letters."""
    files = sorted(folder.rglob("*.py"))
    rng.shuffle(files)
    found: list[str] = []
    for file in files:
        piece = ""
        for line in file.read_text(errors="replace").splitlines(keepends=True):
            if len(piece) + len(line) > longest:
                found.append(piece)
                piece = ""
            piece += line
        found.append(piece)
    return [piece for piece in found if 200 <= len(piece) <= longest]


def edited(text: str, foreign: list[str], rng: random.Random) -> str:
    """A copy with up to about a fifth of its lines changed, in one way or several."""
    lines = text.splitlines()
    ways = rng.sample([renamed, inserted, deleted, relicensed], rng.choice([1, 1, 2, 3]))
    for way in ways:
        lines = way(lines, foreign, rng)
    return "\n".join(lines) + "\n"


def amount(lines: list[str], rng: random.Random) -> int:
    """How many edits, mostly few: from one to an eighth of the lines."""
    return 1 + int(rng.random() ** 2 * len(lines) / 8)


def renamed(lines: list[str], foreign: list[str], rng: random.Random) -> list[str]:
    """Some identifiers, each everywhere."""
    text = "\n".join(lines)
    names = NAME.findall(text) or ["x"]
    new = {rng.choice(names): f"renamed_{rng.randrange(1000)}" for _ in range(amount(lines, rng))}
    return NAME.sub(lambda match: new.get(match[0], match[0]), text).split("\n")


def inserted(lines: list[str], foreign: list[str], rng: random.Random) -> list[str]:
    """Lines of another document, here and there."""
    lines = list(lines)
    for _ in range(amount(lines, rng)):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(foreign))
    return lines


def deleted(lines: list[str], foreign: list[str], rng: random.Random) -> list[str]:
    """Lines left out, here and there."""
    gone = {rng.randrange(len(lines)) for _ in range(amount(lines, rng))}
    return [line for number, line in enumerate(lines) if number not in gone] or lines


def relicensed(lines: list[str], foreign: list[str], rng: random.Random) -> list[str]:
    """Another header in place of the comment that opens the file, if one does."""
    start = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    terms = "Permission is granted to use, copy and change this file for any purpose, by"
    return [f"# Copyright {rng.randrange(1990, 2030)}", f"# {terms} {rng.random()}", *lines[start:]]


def documents(folder: Path, count: int, longest: int, seed: int) -> tuple[list[str], list[int]]:
    """`count` texts in random order and the family of each; a third are edited copies."""
    rng = random.Random(seed)
    originals = pieces(folder, longest, rng)
    rng.shuffle(originals)
    if len(originals) < count * 2 // 3:
        raise UserError(
            f"{folder} holds {len(originals)} pieces of Python; {count * 2 // 3} are needed"
        )
    foreign = [line for text in originals[-200:] for line in text.splitlines() if line.strip()]
    rows: list[tuple[str, int]] = []
    for family, text in enumerate(originals):
        copies = rng.randrange(1, 7) if rng.random() < 1 / 7 else 0
        rows += [(text, family)] + [(edited(text, foreign, rng), family) for _ in range(copies)]
        if len(rows) >= count:
            break
    rows = rows[:count]
    rng.shuffle(rows)
    return [text for text, _ in rows], [family for _, family in rows]


# ---------------------------------------------------------------------------- the truth


def similar(texts: list[str]) -> Any:
    """All pairs (a, b, J) with J >= NEAR, exactly (up to collisions of 64-bit hashes).

    Two sets as similar as that share one of the (1 - NEAR) rarest of each one's elements (prefix
    filter; Chaudhuri, Ganti and Kaushik 2006).
    """
    sets = []
    for text in texts:
        words = WORD.findall(text.lower())
        grams = zip(*(words[i:] for i in range(NGRAM)), strict=False)
        sets.append(np.unique(np.fromiter(map(hash, grams), dtype=np.int64)))
    sizes = np.array([len(each) for each in sets])
    values = np.concatenate(sets)
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=values[order[0]] - 1) != 0
    token = np.empty(len(values), dtype=np.int64)
    token[order] = np.cumsum(new) - 1
    frequency = np.bincount(token)
    owner = np.repeat(np.arange(len(sets)), sizes)
    rarest = np.lexsort((token, frequency[token], owner))
    place = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    prefix = rarest[place < np.repeat(sizes - np.ceil(NEAR * sizes) + 1, sizes)]
    prefix = prefix[np.lexsort((owner[prefix], token[prefix]))]
    tokens, owners = token[prefix], owner[prefix]
    codes = np.empty(0, dtype=np.int64)
    places = np.arange(len(tokens))
    for distance in range(1, len(texts)):
        places = places[places + distance < len(tokens)]
        places = places[tokens[places] == tokens[places + distance]]
        if not len(places):
            break
        a, b = owners[places], owners[places + distance]
        fits = np.minimum(sizes[a], sizes[b]) >= NEAR * np.maximum(sizes[a], sizes[b])
        codes = np.sort(np.concatenate([codes, a[fits] * len(texts) + b[fits]]), kind="stable")
        codes = codes[np.diff(codes, prepend=-1) != 0]
    left, right = np.divmod(codes, len(texts))
    shared = np.array(
        [
            len(np.intersect1d(sets[a], sets[b], assume_unique=True))
            for a, b in zip(left, right, strict=True)
        ]
    )
    jaccard = shared / (sizes[left] + sizes[right] - shared)
    near = jaccard >= NEAR
    return left[near], right[near], jaccard[near]


def judged(kept: list[int], truth: Any, families: list[int]) -> dict[str, Any]:
    """How the documents that an engine keeps compare with the truth."""
    left, right, jaccard = truth
    family = np.array(families)
    stands = np.zeros(len(family), dtype=bool)
    stands[kept] = True
    planted = family[left] == family[right]
    resolved = ~(stands[left] & stands[right])
    twins = jaccard >= THRESHOLD

    def with_twin(pairs: Any, among: Any) -> Any:
        found = np.zeros(len(family), dtype=bool)
        found[left[pairs & among[right]]] = True
        found[right[pairs & among[left]]] = True
        return found

    everything = np.ones_like(stands)
    dropped = ~stands
    linked = twins | planted
    connected = np.array(components(left[linked], right[linked], len(family)))
    several = np.flatnonzero(np.bincount(connected, minlength=len(family)) > 1)
    bands = ((0.7, 0.8), (0.8, 0.9), (0.9, 1.01), (0.7, 1.01))
    has_twin = with_twin(twins, everything)
    return {
        "kept": int(stands.sum()),
        "recall": {
            f"{low:.1f}-{min(1, high):.1f}": share(
                resolved[planted & (jaccard >= low) & (jaccard < high)]
            )
            for low, high in bands
        },
        "precision": share(has_twin[dropped]),
        "precision_near": share(with_twin(jaccard >= NEAR, everything)[dropped]),
        "families_lost": len(np.setdiff1d(several, connected[stands])),
        "no_twin_kept": int((dropped & has_twin & ~with_twin(twins, stands)).sum()),
    }


def share(flags: Any) -> float:
    """The mean, or nan of nothing."""
    return float(flags.mean()) if len(flags) else float("nan")


def components(left: Any, right: Any, count: int) -> list[int]:
    """The least member of each row's connected component."""
    parents = list(range(count))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        a, b = sorted((root(a), root(b)))
        parents[b] = a
    return [root(row) for row in range(count)]
