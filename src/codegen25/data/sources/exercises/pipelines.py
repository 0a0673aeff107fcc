"""Filter, transform, reduce: source × test × transform × reduction × style of writing it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from random import Random

from codegen25.data.sources.exercises.draft import Draft, Param
from codegen25.data.sources.exercises.reductions import REDUCTIONS, Reduction
from codegen25.data.sources.exercises.tables import Test, Transform, a_test, a_transform, both


@dataclass(frozen=True)
class Source:
    """Where elements come from: the loops over them, and how they are spoken of."""

    element: str
    loops: tuple[str, ...]
    many: str
    one: str
    where: str
    params: tuple[Param, ...]
    weight: int = 1

    @property
    def iterable(self) -> str:
        """What a single loop goes over, or empty."""
        return self.loops[0].split(" in ", 1)[1] if len(self.loops) == 1 else ""


def _source(
    element: str, loops: str, many: str, where: str, params: str, weight: int = 1
) -> Source:
    found = tuple(Param.parse(each) for each in params.split(", "))
    one = many.removesuffix("s")
    return Source(element, tuple(loops.split("; ")), many, one, where, found, weight)


SOURCES = (
    _source("x", "for $x in $xs", "numbers", "in @xs", "xs:ints", 10),
    _source("x", "for $x in range(1, $n + 1)", "numbers", "from 1 to $n", "n:int/1..15", 3),
    _source("x", "for $x in range($a, $b + 1)", "integers", "from $a to $b, both included",
            "a:int/-3..8, b:int/9..20"),
    _source("x", "for $x in map(int, str($n))", "digits", "of $n", "n:nat/0..99999", 2),
    _source("x", "for $x in $d.values()", "values", "of @d", "d:dict", 2),
    _source("x", "for $row in $g; for $x in $row", "numbers", "in @g", "g:grid", 2),
    _source("x", 'for $x in map(int, $s.split(","))', "numbers",
            "in @s, which are separated by commas", "s:str/csv"),
    _source("x", "for $x in $xs[::2]", "numbers", "at the even indices of @xs", "xs:ints"),
    _source("w", "for $w in $ws", "words", "in @ws", "ws:words", 7),
    _source("w", "for $w in $ws", "strings", "in @ws", "ws:words", 3),
    _source("w", "for $w in $s.split()", "words", "in @s", "s:str", 5),
    _source("w", "for $w in $d", "keys", "of @d", "d:dict"),
    _source("c", "for $c in $s", "characters", "in @s", "s:str", 8),
    _source("c", "for $c in $s", "characters", "of @s", "s:word", 2),
)  # fmt: skip


def pipeline(rng: Random) -> Draft:
    """A draft of some source, test, transform and reduction that suit each other."""
    [source] = rng.choices(SOURCES, [each.weight for each in SOURCES])
    for _ in range(20):
        test = _some_test(source, rng)
        transform = None
        if source.element != "c" and rng.random() < 0.45:
            transform = a_transform(source.element, rng)
        kind = transform.type if transform else {"x": "int"}.get(source.element, "str")
        reduction = rng.choice(REDUCTIONS)
        if reduction.suits(kind, source.element, bool(test), bool(transform)):
            return _draft(source, test, transform, reduction, kind, rng)
    return pipeline(rng)


def _some_test(source: Source, rng: Random) -> Test | None:
    taken = {param.slot for param in source.params}
    if rng.random() < 0.18:
        return None
    test: Test | None = a_test(source.element, rng)
    if test and rng.random() < 0.15:
        test = both(test, a_test(source.element, rng))
    if test and taken & {param.slot for param in test.params}:
        return None
    return test


def _draft(
    source: Source, test: Test | None, transform: Transform | None, reduction: Reduction,
    kind: str, rng: Random,
) -> Draft:  # fmt: skip
    many = test.plural.format(source.many) if test else source.many
    whole = transform.plural.format(many) if transform else many
    one = source.one
    clause = test.clause if test else ""
    where = source.where
    if "," in where and (test or transform):
        where = where.replace(", ", " (", 1) + ")"
    says = tuple(
        text.format(whole=f"{whole} {where}", one=one, where=where, clause=clause, many=source.many)
        for text in reduction.says
    )
    returns = reduction.returns.replace("T", kind)
    params = source.params + (test.params if test else ())
    parts = _names(reduction, test, transform, source, rng)
    notes = tuple(note.format(one=one, many=source.many) for note in reduction.notes)
    bodies = tuple(_bodies(source, test, transform, reduction))
    return Draft(parts, params, returns, says, bodies, notes)


def _names(
    reduction: Reduction, test: Test | None, transform: Transform | None, source: Source,
    rng: Random,
) -> tuple[str, ...]:  # fmt: skip
    made = transform.name if transform else ""
    of = test.name if test else ""
    many = rng.choice((source.many, source.many, "", {"x": "nums", "w": "words"}.get(
        source.element, "chars")))  # fmt: skip
    orders = ((of, made), (made, of), (of, made, many), (of, many, made), (made, "of", of, many))
    found = []
    for red in reduction.names:
        for order in orders:
            words = [word for word in (red, *order) if word]
            if words[-1] != "of" and not ("of" in words and not made):
                found.append("_".join(words))
    short = [name for name in found if len(name) <= 34 and "_" in name]
    return tuple(short) or (f"{reduction.names[-1]}_{source.many}",)


def _bodies(
    source: Source, test: Test | None, transform: Transform | None, reduction: Reduction
) -> list[str]:
    """The styles: one expression, loops, loops that skip, two steps, indices, lambdas, recursion.

    Those that people write most come twice.
    """
    var = f"${source.element}"
    made = transform.code if transform else var
    loops = " ".join(source.loops)
    plain = test is None and transform is None
    # `Counter` takes a dictionary's values for counts.
    over = source.iterable if plain and source.iterable != "$d" else ""
    found: list[str] = []
    if short := reduction.short(made, loops, test.yes if test else "", over):
        found += [short, short]
    found += [_loop(source, test, made, reduction)] * (2 if short else 4)
    if test is None:
        return found
    found.append(_loop(source, test, made, reduction, skip=True))
    kept = f"$kept = [{var} {loops} if {test.yes}]\n"
    again = reduction.short(made, f"for {var} in $kept", "", "" if transform else "$kept")
    if again and reduction.two_steps:
        found.append(kept + again)
    if source.iterable == "$xs" or source.iterable == "$ws":
        found += _indexed(source, test, made, reduction)
    if source.iterable and "for " not in test.yes and reduction.lazy:
        sifted = f"filter(lambda {var}: {test.yes}, {source.iterable})"
        if transform:
            sifted = f"map(lambda {var}: {made}, {sifted})"
        if not transform or "for " not in made:
            found.append(reduction.short("", "", "", sifted))
    return found


def _loop(
    source: Source, test: Test | None, made: str, reduction: Reduction, skip: bool = False
) -> str:
    inner = reduction.step(made)
    if test and skip:
        inner = f"#? Pass over all others.\nif {test.no}:\n    continue\n{inner}"
    elif test:
        only = f"#? Only {test.plural.format(source.many)} count.\n"
        inner = f"{only}if {test.yes}:\n{textwrap.indent(inner, '    ')}"
    for loop in reversed(source.loops):
        inner = f"{loop}:\n{textwrap.indent(inner, '    ')}"
    return f"{reduction.start}{inner}\n{reduction.finish}"


def _indexed(source: Source, test: Test, made: str, reduction: Reduction) -> list[str]:
    """A loop over indices and one that counts them up itself."""
    var, over = f"${source.element}", source.iterable
    item = f"{over}[$i]"
    step = textwrap.indent(reduction.step(made), "    ")
    once = test.yes.count(var) + made.count(var) <= 2 and " for " not in test.yes
    counted = f"for $i in range(len({over})):\n"
    if once:
        body = f"if {test.yes}:\n{step}".replace(var, item)
    else:
        body = f"{var} = {item}\nif {test.yes}:\n{step}"
    first = f"{reduction.start}{counted}{textwrap.indent(body, '    ')}\n{reduction.finish}"
    body = f"{var} = {item}\nif {test.yes}:\n{step}\n$i += 1"
    second = (
        f"{reduction.start}$i = 0\nwhile $i < len({over}):\n"
        f"{textwrap.indent(body, '    ')}\n{reduction.finish}"
    )
    return [first, second]
