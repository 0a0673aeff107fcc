"""Where the elements that pass a test are, and which numbers come first that pass one."""

from __future__ import annotations

from random import Random

from codegen25.data.sources.exercises.combinators import LISTS, over_list, tested
from codegen25.data.sources.exercises.draft import Draft, Param
from codegen25.data.sources.exercises.tables import Test, a_test, plural_of


def positions(rng: Random) -> Draft:
    """The indices of the elements that pass a test."""
    element, test = tested("xxwc", rng)
    _, _, one, _, at, over = LISTS[element]
    x, plural = f"${element}", test.plural.format(one + "s")
    says = (f"+a list of the indices of the {plural} in {at}",
            f"+a list of the positions, counted from 0, at which {at} has {plural}")  # fmt: skip
    head = f"for $i, {x} in enumerate({over}):\n    if {test.yes}:\n"
    bodies = (f"return [$i for $i, {x} in enumerate({over}) if {test.yes}]",
              f"$out = []\n{head}        $out.append($i)\nreturn $out")  # fmt: skip
    names = (f"indices_of_{test.name}", f"positions_of_{test.name}")
    return Draft(names, over_list(test, element), "list[int]", says, bodies)


def position(rng: Random) -> Draft:
    """The index of the first or last element that passes a test."""
    element, test = tested("xxwc", rng)
    _, _, one, _, at, over = LISTS[element]
    x, back = f"${element}", test.yes.replace(f"${element}", f"{over}[$i]")
    which = rng.choice(("first", "last"))
    says = (f"=the index of the {which} {one} in {at} that {test.clause}",
            f"=the position of the {which} {one}, counted from 0, in {at} that {test.clause}",
            )  # fmt: skip
    head = f"for $i, {x} in enumerate({over}):\n    if {test.yes}:\n"
    found = "        return $i\nreturn -1"
    if which == "first":
        steps = f"len({over})"
        bodies = [f"{head}{found}",
                  f"return next(($i for $i, {x} in enumerate({over}) if {test.yes}), -1)",
                  ]  # fmt: skip
    else:
        steps = f"len({over}) - 1, -1, -1"
        bodies = [f"$found = -1\n{head}        $found = $i\nreturn $found"]
    if " for " not in test.yes:
        bodies.append(f"for $i in range({steps}):\n    if {back}:\n{found}")
    names = (f"index_of_{which}_{test.name}", f"find_{which}_{test.name}")
    note = "Return -1 if there is none."
    return Draft(names, over_list(test, element), "int", says, tuple(bodies), (note,))


def leading(rng: Random) -> Draft:
    """The elements at the start that pass a test, or those from the first that does not."""
    element, test = tested("xxwc", rng)
    _, _, one, of, at, over = LISTS[element]
    string = element == "c"
    params, returns = over_list(test, element), "str" if string else f"list[{of}]"
    empty = '""' if string else "[]"
    if rng.random() < 0.5:
        says: tuple[str, ...] = (
            f"=the leading {one}s of {at}, as long as each of them {test.clause}",
        )
        names = (f"leading_{test.name}", f"take_while_{test.name}")
        return Draft(names, params, returns, says, _taking(element, test, over, empty))
    says = (f"=what is left of {at} without the leading {one}s that {plural_of(test.clause)}",
            f"!Drop the {one}s at the start of {at} as long as each of them {test.clause}, "
            "and return the rest")  # fmt: skip
    names = (f"drop_leading_{test.name}", f"drop_while_{test.name}")
    return Draft(names, params, returns, says, _dropping(element, test, over, empty))


def _taking(element: str, test: Test, over: str, empty: str) -> tuple[str, ...]:
    x = f"${element}"
    grow = f"$out += {x}" if element == "c" else f"$out.append({x})"
    lazy = f"takewhile(lambda {x}: {test.yes}, {over})"
    return (
        f"$out = {empty}\nfor {x} in {over}:\n    if {test.no}:\n        break\n    {grow}\n"
        "return $out",
        f'return "".join({lazy})' if element == "c" else f"return list({lazy})",
    )


def _dropping(element: str, test: Test, over: str, empty: str) -> tuple[str, ...]:
    x, item = f"${element}", f"{over}[$i]"
    loop = (
        f"for $i, {x} in enumerate({over}):\n    if {test.no}:\n        return {over}[$i:]\n"
        f"return {empty}"
    )
    if " or " in test.yes or test.yes.startswith("not "):
        return (loop,)
    return (
        loop,
        f"$i = 0\nwhile $i < len({over}) and {test.yes.replace(x, item)}:\n    $i += 1\n"
        f"return {over}[$i:]",
    )


_BOUNDED = ("negative", "one_digit", "two_digit", "positive", "nonzero")
"""Tests that no number far enough from zero, or every one, passes."""


def search(rng: Random) -> Draft:
    """The numbers next to a given one, or to zero, that pass a test."""
    test = a_test("x", rng)
    if test.params or any(word in test.name for word in (*_BOUNDED, "less", "greater")):
        return search(rng)
    yes, no = test.yes.replace("$x", "$value"), test.no.replace("$x", "$value")
    which = rng.choice(("next", "previous", "first"))
    if which == "first":
        plural = test.plural.format("non-negative integers")
        says = (f"+a list of the $k smallest {plural}", f"=the $k smallest {plural}, in order")
        body = (f"$out = []\n$value = 0\nwhile len($out) < $k:\n    if {yes}:\n"
                "        $out.append($value)\n    $value += 1\nreturn $out")  # fmt: skip
        names = (f"first_{test.name}_numbers", f"smallest_{test.name}_numbers")
        return Draft(names, (Param("k", "nat", "0..6"),), "list[int]", says, (body,))
    sign, side = ("+", "smallest") if which == "next" else ("-", "largest")
    end = "greater" if which == "next" else "less"
    said = f"=the {side} integer {end} than @n that {test.clause}"
    bodies = (f"$value = $n {sign} 1\nwhile {no}:\n    $value {sign}= 1\nreturn $value",
              f"$value = $n {sign} 1\nwhile True:\n    if {yes}:\n        return $value\n"
              f"    $value {sign}= 1")  # fmt: skip
    names = (f"{which}_{test.name}", f"find_{which}_{test.name}")
    return Draft(names, (Param("n", "int", "0..80"),), "int", (said,), bodies)
