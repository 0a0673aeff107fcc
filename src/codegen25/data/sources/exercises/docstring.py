"""The layout of a docstring: one line or several, sections, examples."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from codegen25.data.sources.exercises.phrasing import Speaker

WIDTH = 78


class Example(NamedTuple):
    """A call, written out, and what it gave."""

    call: str
    result: Any


def docstring(speaker: Speaker, examples: Sequence[Example], rng: Random) -> list[str]:
    """The lines of a docstring, not yet indented."""
    summary, notes = speaker.summary(), speaker.notes()
    apart = bool(notes) and rng.random() < 0.4
    blocks = [_wrapped(summary if apart else " ".join([summary, *notes]))]
    if apart:
        blocks.append(_wrapped(" ".join(notes)))
    drawn = rng.random()
    if drawn < 0.09:
        blocks += _google(speaker)
    elif drawn < 0.13:
        blocks.append(_rest(speaker))
    if examples:
        blocks.append(_examples(examples, rng))
        told = blocks[-1][0]
        if len(blocks) == 2 and told.startswith("For example, ") and rng.random() < 0.5:
            merged = _wrapped(" ".join([*blocks[0], told]))
            blocks = [merged] if told in "\n".join(merged) else blocks
    tight = len(blocks) == 2 and bool(examples) and rng.random() < 0.25
    lines = list(blocks[0])
    for block in blocks[1:]:
        lines += block if tight else ["", *block]
    if len(lines) == 1 and len(lines[0]) <= 78 and not lines[0].startswith('"'):
        return [f'"""{lines[0]}"""']
    if rng.random() < 0.3 or lines[0].startswith('"'):
        return ['"""', *lines, '"""']
    return [f'"""{lines[0]}', *lines[1:], '"""']


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _google(speaker: Speaker) -> list[list[str]]:
    arguments = [f"    {name}: {what[0].upper() + what[1:]}." for name, what in speaker.arguments()]
    found = [["Args:", *arguments]]
    if returned := speaker.returned():
        found.append(
            ["Returns:", *(f"    {line}" for line in _wrapped(speaker.sentence(returned)))]
        )
    return found


def _rest(speaker: Speaker) -> list[str]:
    lines = [f":param {name}: {what}" for name, what in speaker.arguments()]
    if returned := speaker.returned():
        first, *more = _wrapped(f":return: {returned}")
        lines += [first, *(f"    {line}" for line in more)]
    return lines


def _examples(examples: Sequence[Example], rng: Random) -> list[str]:
    drawn = rng.random()
    widest = max(len(call) + len(repr(result)) for call, result in examples)
    if drawn < 0.68 or widest > 66:
        lines = [line for example in examples for line in doctest(example)]
        heading = rng.choice(("", "", "", "", "Examples:", "Example:", "For example:"))
        if not heading:
            return lines
        return [heading, *(f"    {line}" for line in lines)]
    if drawn < 0.9:
        sign = rng.choice(("==", "==", "->", "=>", "returns"))
        heading = rng.choice(("For example:", "Examples:", "Example:", "e.g."))
        return [heading, *(f"    {call} {sign} {result!r}" for call, result in examples)]
    call, result = examples[0]
    told = f"For example, {call} {rng.choice(('returns', 'gives', 'is'))} {result!r}."
    return [told] if len(told) <= WIDTH else doctest(examples[0])


def doctest(example: Example) -> list[str]:
    """The example as a session, which prints nothing for None."""
    if example.result is None:
        return [f">>> {example.call} is None", "True"]
    return [f">>> {example.call}", repr(example.result)]
