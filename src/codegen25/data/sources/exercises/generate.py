"""Exercise number i of a seed: a pure function of both."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from codegen25.data.sources.exercises import combinators, searches
from codegen25.data.sources.exercises.classes import a_class
from codegen25.data.sources.exercises.draft import Draft, blocks, parse, text
from codegen25.data.sources.exercises.keys import keyed
from codegen25.data.sources.exercises.pipelines import pipeline
from codegen25.data.sources.exercises.render import Exercise, render

TOPICS = ("numbers", "strings", "lists", "dicts")
BLOCKS = [block for topic in TOPICS for block in blocks(text(f"operations/{topic}.txt"))]
"""All operations that are written out."""


def written(rng: Random) -> Draft:
    """The draft of one of `BLOCKS`."""
    return parse(rng.choice(BLOCKS), rng)


FAMILIES: tuple[tuple[int, Callable[[Random], Draft]], ...] = (
    (40, written),
    (26, pipeline),
    (6, combinators.quantifier),
    (3, combinators.single),
    (4, combinators.replaced),
    (3, combinators.partition),
    (2, searches.positions),
    (2, searches.position),
    (2, searches.leading),
    (4, combinators.characters),
    (1, searches.search),
    (8, keyed),
)
"""Families of drafts, by weight."""
_WEIGHTS = [weight for weight, _ in FAMILIES]
CLASS_SHARE = 0.02


def draft(rng: Random) -> Draft:
    """A draft of any family."""
    [(_, family)] = rng.choices(FAMILIES, _WEIGHTS)
    return family(rng)


def exercise(seed: int, i: int) -> Exercise:
    """Exercise i of a seed."""
    rng = Random(f"{seed}/{i}")
    if rng.random() < CLASS_SHARE:
        return a_class(rng)
    return render(draft(rng), rng)
