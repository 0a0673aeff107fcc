"""What an exercise is before names, phrases and layout are drawn: a draft, full of slots.

Code and sentences of a draft hold `$slot`s, whose names `naming` draws; sentences also hold
`@slot`s, which become noun phrases ("the list", "a list of integers", "numbers").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from random import Random

SLOT = re.compile(r"\$([a-z_]+)")
CONSTANT = re.compile(r"~([a-z]+)~")
SELF = "self_name"
"""The slot of the function's own name, for recursion."""


@dataclass(frozen=True)
class Param:
    """A parameter: its slot, its kind (see `inputs.KINDS`) and how it is sampled (see `sample`)."""

    slot: str
    kind: str
    how: str = ""

    @classmethod
    def parse(cls, text: str) -> Param:
        """`slot:kind` or `slot:kind/how`."""
        slot, _, rest = text.strip().partition(":")
        kind, _, how = rest.partition("/")
        return cls(slot, kind, how)


@dataclass(frozen=True)
class Draft:
    """A function to be written.

    names    alternatives for its name.
    returns  its return type, as `inputs` spells types; `int?` may be None.
    says     alternatives for its summary, each after a mark: `=` a noun phrase (what is returned),
             `+` the same of a collection, `?` a clause (what is true), `!` an imperative.
    notes    sentences that must be said too.
    bodies   alternatives that do the same; lines that start with `#?` are optional comments.
    """

    names: tuple[str, ...]
    params: tuple[Param, ...]
    returns: str
    says: tuple[str, ...]
    bodies: tuple[str, ...]
    notes: tuple[str, ...] = ()


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with each `~constant~` replaced by its value."""
    return CONSTANT.sub(lambda match: values[match[1]], text) if "~" in text else text


def parse(block: str, rng: Random) -> Draft:
    """The draft of one block of text, its constants drawn.

    names, by commas
    slot:kind/how, ... -> returns
    : a; b = 1; one | 2; two            constants, optional: one row is drawn
    = a summary                         as of `Draft.says`; `%` is a note
    ---
    a body
    ---
    another
    """
    head, *bodies = re.split(r"^---\n", block.strip("\n") + "\n", flags=re.MULTILINE)
    names, signature, *lines = head.strip().split("\n")
    constants: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            keys, _, rows = line[1:].partition("=")
            row = rng.choice(rows.split("|")).split(";")
            constants |= zip(
                (key.strip() for key in keys.split(";")), map(str.strip, row), strict=True
            )
    params, _, returns = signature.partition("->")
    said = [(line[0], line[1:].strip()) for line in lines if line[0] != ":"]
    return Draft(
        tuple(name.strip() for name in fill(names, constants).split(",")),
        tuple(Param.parse(each) for each in fill(params, constants).split(",") if each.strip()),
        fill(returns, constants).strip(),
        tuple(fill(mark + text, constants) for mark, text in said if mark != "%"),
        tuple(fill(body.rstrip("\n"), constants) for body in bodies),
        tuple(fill(text, constants) for mark, text in said if mark == "%"),
    )


def text(path: str) -> str:
    """One of the texts that lie beside this module."""
    return (files("codegen25.data.sources.exercises") / path).read_text(encoding="utf-8")


def blocks(whole: str) -> list[str]:
    """The blocks of a text, which stand between lines of `===`."""
    return [block for block in re.split(r"^===\n", whole, flags=re.MULTILINE) if block.strip()]
