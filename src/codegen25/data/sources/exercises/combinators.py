"""Shapes into which tests and transforms go: quantifiers, choices, halves, changed characters."""

from __future__ import annotations

from random import Random

from codegen25.data.sources.exercises.draft import Draft, Param
from codegen25.data.sources.exercises.tables import Test, a_test, a_transform, both

LISTS = {
    "x": ("xs", "ints", "number", "int", "@xs", "$xs"),
    "w": ("ws", "words", "word", "str", "@ws", "$ws"),
    "c": ("s", "str", "character", "str", "@s", "$s"),
}
"""By element: slot and kind of what holds them, what one is called, its type, and how what holds
them stands in sentences and in code."""


def over_list(test: Test, element: str) -> tuple[Param, ...]:
    """The parameters: what holds the elements, and those of the test."""
    slot, kind, *_ = LISTS[element]
    return (Param(slot, kind), *test.params)


def tested(elements: str, rng: Random) -> tuple[str, Test]:
    """One of `elements` and a test of it, at times of two parts."""
    element = rng.choice(elements)
    test = a_test(element, rng)
    if rng.random() < 0.15:
        test = both(test, a_test(element, rng)) or test
    return element, test


def quantifier(rng: Random) -> Draft:
    """Whether any, every or no element passes a test."""
    element, test = tested("xwc", rng)
    _, _, one, _, at, over = LISTS[element]
    x, yes, no, clause = f"${element}", test.yes, test.no, test.clause
    negative = "not " in clause or "different" in clause
    which = rng.choice(("any", "all") if negative else ("any", "all", "none"))
    each, loop = f"for {x} in {over}", f"for {x} in {over}:\n    if "
    if which == "any":
        starts = ("any", "has", "contains")
        says = [f"?any {one} in {at} {clause}", f"?at least one {one} in {at} {clause}",
                f"?there is a {one} in {at} that {clause}"]  # fmt: skip
        bodies = [f"return any({yes} {each})", f"{loop}{yes}:\n        return True\nreturn False",
                  f"$flag = False\n{loop}{yes}:\n        $flag = True\nreturn $flag"]  # fmt: skip
    elif which == "all":
        starts = ("all", "are_all", "only")
        says = [f"?every {one} in {at} {clause}", f"?each {one} in {at} {clause}"]
        bodies = [f"return all({yes} {each})", f"{loop}{no}:\n        return False\nreturn True",
                  f"return not any({no} {each})"]  # fmt: skip
    else:
        starts = ("no", "none", "without")
        says = [f"?no {one} in {at} {clause}", f"?none of the {one}s in {at} {clause}"]
        bodies = [f"return not any({yes} {each})",
                  f"{loop}{yes}:\n        return False\nreturn True",
                  f"return all({no} {each})"]  # fmt: skip
    note = f"Return {which != 'any'} for an empty {'string' if element == 'c' else 'list'}."
    names = tuple(f"{start}_{test.name}" for start in starts)
    notes = (note,) if rng.random() < 0.3 else ()
    return Draft(names, over_list(test, element), "bool", tuple(says), tuple(bodies), notes)


_SINGLE = {"x": ("n", "int"), "w": ("s", "word"), "c": ("letter", "letter")}


def single(rng: Random) -> Draft:
    """Whether one number, word or character passes a test, or two."""
    element = rng.choice("xxxwc")
    test = both(a_test(element, rng), a_test(element, rng)) or a_test(element, rng)
    slot, kind = _SINGLE[element]
    if slot in {each.slot for each in test.params} or test.clause == "is a letter":
        return single(rng)
    var = f"${element}"
    yes, no = test.yes.replace(var, f"${slot}"), test.no.replace(var, f"${slot}")
    bodies = (f"return {yes}", f"return {yes}", f"if {yes}:\n    return True\nreturn False",
              f"if {no}:\n    return False\nreturn True")  # fmt: skip
    names = (f"is_{test.name}", f"check_{test.name}", f"{test.name}_check")
    params = (Param(slot, kind), *test.params)
    return Draft(names, params, "bool", (f"?@{slot} {test.clause}",), bodies)


_VALUES = {
    "x": (("0", "0"), ("1", "1"), ("-1", "-1"), ("None", "None")),
    "w": (('""', "an empty string"), ('"?"', '"?"'), ('"-"', '"-"')),
}


def replaced(rng: Random) -> Draft:
    """Elements that pass a test become something else, the others stay."""
    element, test = tested("xxw", rng)
    _, _, one, kind, at, over = LISTS[element]
    x, returns = f"${element}", f"list[{kind}]"
    says = f"+a list in which each {one} of {at} that {test.clause} is replaced by "
    if rng.random() < 0.4:
        value, said = rng.choice(_VALUES[element])
        returns = f"list[{kind} | None]" if value == "None" else returns
        done = f"!Replace each {one} in {at} that {test.clause} by {said} and return the new list"
        spoken: tuple[str, ...] = (says + said, done)
        names: tuple[str, ...] = (f"replace_{test.name}", f"mask_{test.name}")
    else:
        made = a_transform(element, rng)
        if made.type != kind:
            return replaced(rng)
        value, spoken = made.code, (says + made.single.format("it"),)
        names = (f"{made.name}_if_{test.name}", f"{made.name}_where_{test.name}")
    bodies = (f"return [{value} if {test.yes} else {x} for {x} in {over}]",
              f"$out = []\nfor {x} in {over}:\n    if {test.yes}:\n        $out.append({value})\n"
              f"    else:\n        $out.append({x})\nreturn $out",
              f"$out = list({over})\nfor $i, {x} in enumerate({over}):\n    if {test.yes}:\n"
              f"        $out[$i] = {value}\nreturn $out")  # fmt: skip
    notes = ("The other elements stay as they are.",) if rng.random() < 0.6 else ()
    return Draft(names, over_list(test, element), returns, spoken, bodies, notes)


def partition(rng: Random) -> Draft:
    """Those that pass a test and those that do not."""
    element, test = tested("xw", rng)
    _, _, one, kind, at, over = LISTS[element]
    x, plural = f"${element}", test.plural.format(one + "s")
    says = (f"+a pair of lists: the {plural} in {at}, and all others",
            f"!Split {at} into the {plural} and the rest, and return both lists")  # fmt: skip
    loop = f"$yes, $no = [], []\nfor {x} in {over}:\n"
    bodies = (f"{loop}    if {test.yes}:\n        $yes.append({x})\n"
              f"    else:\n        $no.append({x})\nreturn $yes, $no",
              f"$yes = [{x} for {x} in {over} if {test.yes}]\n"
              f"$no = [{x} for {x} in {over} if {test.no}]\nreturn $yes, $no",
              f"{loop}    ($yes if {test.yes} else $no).append({x})\nreturn $yes, $no")  # fmt: skip
    names = (f"partition_{test.name}", f"split_{test.name}", f"split_by_{test.name}")
    returns = f"tuple[list[{kind}], list[{kind}]]"
    return Draft(names, over_list(test, element), returns, says, bodies)


_CHANGES = (
    ('"*"', 'replaced by "*"', "mask"), ('"_"', "replaced by underscores", "replace"),
    ("$c.upper()", "in upper case", "upper"), ("$c * 2", "doubled", "double"),
    ("$mark", "replaced by $mark", "replace"), ('f"({$c})"', "in parentheses", "wrap"),
)  # fmt: skip


def characters(rng: Random) -> Draft:
    """A string whose characters are removed or changed if they pass a test."""
    test = a_test("c", rng)
    plural, yes, no = test.plural.format("characters"), test.yes, test.no
    params = over_list(test, "c")
    if rng.random() < 0.3:
        says: tuple[str, ...] = (f"!Remove all {plural} from @s", f"=@s without its {plural}",
                f"!Delete the {plural} from @s and return the rest")  # fmt: skip
        bodies = (f'return "".join($c for $c in $s if {no})',
                  f'$out = ""\nfor $c in $s:\n    if {no}:\n        $out += $c\nreturn $out',
                  f"$kept = []\nfor $c in $s:\n    if {yes}:\n        continue\n"
                  '    $kept.append($c)\nreturn "".join($kept)')  # fmt: skip
        names: tuple[str, ...] = (
            f"remove_{test.name}",
            f"without_{test.name}",
            f"delete_{test.name}",
        )
        return Draft(names, params, "str", says, bodies)
    made, said, verb = rng.choice(_CHANGES)
    params += (Param("mark", "letter", "mark"),) if "mark" in made else ()
    says = (f"=@s with all {plural} {said}", f"+a copy of @s with the {plural} {said}",
            f"=@s with its {plural} {said}")  # fmt: skip
    bodies = (f'return "".join({made} if {yes} else $c for $c in $s)',
              f'$out = ""\nfor $c in $s:\n    if {yes}:\n        $out += {made}\n'
              "    else:\n        $out += $c\nreturn $out",
              f"$parts = []\nfor $c in $s:\n    $parts.append({made} if {yes} else $c)\n"
              'return "".join($parts)')  # fmt: skip
    names = (f"{verb}_{test.name}", f"{verb}_{test.name}_in_text")
    return Draft(names, params, "str", says, bodies)
