"""A draft made into a function: names, types, docstring, body, and examples that were run."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from random import Random
from typing import Any

from codegen25.data.sources.exercises.docstring import Example, docstring
from codegen25.data.sources.exercises.draft import SELF, Draft
from codegen25.data.sources.exercises.inputs import KINDS, arguments
from codegen25.data.sources.exercises.literal import annotation, imports, literal
from codegen25.data.sources.exercises.naming import names, put
from codegen25.data.sources.exercises.phrasing import Speaker

WIDTH = 88
TRIES = 10
MOST_INPUTS = 30


@dataclass(frozen=True)
class Exercise:
    """A function or a class as text, ending in a newline, and tests that may stand below it."""

    name: str
    code: str
    tests: tuple[str, ...] = ()


def render(draft: Draft, rng: Random) -> Exercise:
    """One way to write the draft. Its examples are computed by running it."""
    body, chosen = _body(draft, rng)
    name = chosen[SELF]
    head = _head(draft, chosen, rng)
    drawn = rng.random()
    # Half have examples in the docstring, a seventh tests below, some both, the others none.
    shown, tested = drawn < 0.58, 0.5 < drawn < 0.66
    examples: list[Example] = []
    if shown or tested:
        quote = '"' if tested else rng.choice("'\"")
        function = compiled(plain(draft, chosen, body), name)
        examples = run(draft, name, function, rng.choice((1, 2, 2, 3, 3, 4)), quote, rng)
    speaker = Speaker(draft, chosen, rng)
    lines = docstring(speaker, examples if shown else (), rng)
    text = textwrap.indent("\n".join([*lines, *body.split("\n")]), "    ")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    tests = tuple(_assertion(example) for example in examples) if tested else ()
    return Exercise(name, f"{head}\n{text}\n", tuple(t for t in tests if len(t) <= WIDTH - 4))


def _body(draft: Draft, rng: Random) -> tuple[str, dict[str, str]]:
    """A body and names that keep its lines short."""
    for _ in range(TRIES):
        template = rng.choice(draft.bodies)
        commented = rng.random() < 0.35
        kept = [line for line in template.split("\n") if commented or not _comment(line)]
        template = "\n".join(kept).replace("#? ", "# ")
        slots = [param.slot for param in draft.params]
        name = put_words(rng.choice(draft.names))
        chosen = names(template, slots, name, rng)
        body = put(template, chosen)
        if max(map(len, body.split("\n"))) <= WIDTH - 4:
            break
    return body, chosen


def put_words(name: str) -> str:
    """A function's name, without the `$` of the parameters it mentions."""
    return name.replace("$", "")


def _comment(line: str) -> bool:
    return line.lstrip().startswith("#? ")


def _head(draft: Draft, chosen: dict[str, str], rng: Random) -> str:
    style = rng.choice(("builtin", "builtin", "builtin", "typing", "typing", "none", "none"))
    name = chosen[SELF]
    untyped = f"def {name}({', '.join(chosen[param.slot] for param in draft.params)}):"
    if style == "none":
        return untyped
    params = ", ".join(
        f"{chosen[param.slot]}: {annotation(KINDS[param.kind].type, style)}"
        for param in draft.params
    )
    typed = f"def {name}({params}) -> {annotation(draft.returns, style)}:"
    return typed if len(typed) <= WIDTH else untyped


def plain(draft: Draft, chosen: dict[str, str], body: str) -> str:
    """The function without types and docstring."""
    head = f"def {chosen[SELF]}({', '.join(chosen[param.slot] for param in draft.params)}):"
    return f"{head}\n{textwrap.indent(body, '    ')}\n"


def run(
    draft: Draft, name: str, function: Any, wanted: int, quote: str, rng: Random
) -> list[Example]:
    """Up to `wanted` examples of different inputs, with different results where there are some.

    Inputs for which the function raises ValueError are passed over.
    """
    found: dict[str, Any] = {}
    results: set[str] = set()
    for tried in range(MOST_INPUTS):
        if len(results) > 1 and tried >= 2 * wanted + 2:
            break
        values = arguments(draft.params, rng)
        call = f"{name}({', '.join(literal(each, quote) for each in values)})"
        if call in found or len(call) > WIDTH - 18:
            continue
        try:
            result = function(*values)
        except ValueError:
            continue
        if len(repr(result)) <= WIDTH - 12 and _readable(result):
            found[call] = result
            results.add(repr(result))
    return ranked(found)[:wanted]


def ranked(found: dict[str, Any]) -> list[Example]:
    """The examples, those first whose result is new, is something and is of something."""
    seen: dict[str, int] = {}
    places = []
    for call, result in found.items():
        times = seen[repr(result)] = seen.get(repr(result), -1) + 1
        bare = any(empty in call for empty in ("[]", "''", '""', "{}"))
        nothing = not result and not isinstance(result, bool)
        places.append((times + 0.5 * bare + 0.4 * nothing, Example(call, result)))
    places.sort(key=lambda each: each[0])
    return [example for _, example in places]


def compiled(code: str, name: str) -> Any:
    """What `name` is after running our own `code`, with the imports it needs."""
    namespace: dict[str, Any] = {}
    exec("\n".join([*imports([code]), code]), namespace)
    return namespace[name]


def _readable(result: Any) -> bool:
    """Whether no number is written with a tail of digits."""
    if isinstance(result, float):
        return len(repr(result)) <= 8
    if isinstance(result, int):
        return abs(result) < 10**12
    if isinstance(result, list | tuple):
        return all(map(_readable, result))
    return all(map(_readable, result.values())) if isinstance(result, dict) else True


def _assertion(example: Example) -> str:
    call, result = example
    if isinstance(result, bool) or result is None:
        return f"assert {call} is {result}"
    return f"assert {call} == {literal(result)}"
