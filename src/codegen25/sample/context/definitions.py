"""Definitions of what the code near the cursor has imported from its own repository. Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from codegen25.sample.context.imports import Import, imports, without_imports
from codegen25.sample.context.languages import PYTHON, family
from codegen25.sample.context.outline import Definition, outline
from codegen25.sample.context.query import Query, last_lines, scopes
from codegen25.sample.context.snippet import DEFINITION, Snippet
from codegen25.sample.context.view import View
from codegen25.sample.context.words import chains

NEAR_BEFORE, NEAR_AFTER = 40, 15
"""Lines around the cursor in which a name counts as used."""
HALF = 10
"""Lines from the cursor at which a name counts half."""
DEEPEST = 8
"""Attributes of attributes that are told apart."""
HOPS = 4
"""Re-exports that are followed from module to module."""
LISTED = 12
"""Names of a module that are shown after `module.`."""

_AFTER_DOT = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\.\w*\Z")


def definitions(view: View, query: Query) -> list[Snippet]:
    """The definitions of imported names that are used near the cursor, the nearest first.

    The file may be unfinished. Of a module the attributes that are used count, and where `module.`
    was just typed all that it defines. Other languages have none.
    """
    if family(query.path) != PYTHON:
        return []
    used = distances(query)
    best: dict[tuple[str, str], Snippet] = {}
    for each in imports(f"{query.prefix}{query.suffix}"):
        for found, distance in _needed(view, query, each, used):
            snippet = found.snippet(1 / (1 + distance / HALF))
            key = (found.path, found.definition.name)
            if found.path != query.path and (key not in best or best[key].score < snippet.score):
                best[key] = snippet
    return sorted(best.values(), key=lambda each: (-each.score, each.path, each.line))


def distances(query: Query) -> dict[str, int]:
    """Names and dotted names near the cursor with the lines between; import lines do not count.

    Those in the headers of the functions and classes around it count as if half as near as can be.
    """
    found: dict[str, int] = {}
    before = without_imports("\n".join(last_lines(query.prefix, NEAR_BEFORE))).split("\n")
    after = without_imports("\n".join(query.suffix.split("\n")[:NEAR_AFTER])).split("\n")
    places = [
        *((line, distance) for distance, line in enumerate(reversed(before))),
        *((line, distance) for distance, line in enumerate(after)),
        *((line, HALF) for line in scopes(query.prefix)),
    ]
    for line, distance in places:
        for chain in chains(line):
            parts = chain.split(".")
            for length in range(1, min(len(parts), DEEPEST) + 1):
                name = ".".join(parts[:length])
                found[name] = min(distance, found.get(name, distance))
    return found


@dataclass(frozen=True)
class _Found:
    path: str
    definition: Definition

    def snippet(self, score: float) -> Snippet:
        return Snippet(self.path, self.definition.text, score, DEFINITION, self.definition.line)


def _needed(
    view: View, query: Query, each: Import, used: dict[str, int]
) -> Iterator[tuple[_Found, int]]:
    """What an import brings that is used near the cursor, and how far away."""
    module = view.modules.find(query.path, each.level, each.module)
    if each.name == "*":
        if module:
            yield from _attributes(view, module, "", used)
        return
    inner = (
        view.modules.find(query.path, each.level, (*each.module, each.name)) if each.name else None
    )
    if each.bound in used and each.name and module:
        found = _definition(view, module, each.name)
        if found:
            yield found, used[each.bound]
            return
    whole = inner if each.name else module
    if whole and each.bound in used:
        yield from _attributes(view, whole, f"{each.bound}.", used)
        dotted = _AFTER_DOT.search(query.prefix[-200:])
        if dotted and dotted[1] == each.bound:
            for definition in islice(outline(view.files[whole].text).values(), LISTED):
                yield _Found(whole, definition), 1


def _attributes(
    view: View, module: str, bound: str, used: dict[str, int]
) -> Iterator[tuple[_Found, int]]:
    for name, distance in used.items():
        attribute = name.removeprefix(bound)
        if not name.startswith(bound) or "." in attribute:
            continue
        if found := _definition(view, module, attribute):
            yield found, distance


def _definition(view: View, module: str, name: str, hops: int = HOPS) -> _Found | None:
    """Where a module's name is defined, through the imports that hand it on."""
    file = view.files.get(module)
    if file is None or name not in file.text:
        return None
    if definition := outline(file.text).get(name):
        return _Found(module, definition)
    if hops:
        for each in _imports_of(file.text):
            if each.bound == name and each.name not in ("", "*"):
                target = view.modules.find(module, each.level, each.module)
                if target and target != module:
                    return _definition(view, target, each.name, hops - 1)
    return None


@lru_cache(maxsize=64)
def _imports_of(text: str) -> tuple[Import, ...]:
    """The imports of a module that hands names on, which is asked again and again."""
    return imports(text)
