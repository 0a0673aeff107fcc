"""The tests of HumanEval+, which has inputs and a reference instead of assertions."""

from __future__ import annotations

BY_REFERENCE = """\
import copy

INPUTS = {inputs!r}


def is_floats(value):
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def near(found, expected, atol):
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(near, found, expected, [atol] * len(found)))
    return abs(found - expected) <= atol + 1e-7 * abs(expected)


def check(candidate):
    for given in INPUTS:
        expected = REFERENCE(*copy.deepcopy(given))
        found = candidate(*copy.deepcopy(given))
        atol = {atol!r} or (1e-6 if is_floats(expected) else 0)
        if atol and not found == expected:
            assert type(found) is type(expected) and near(found, expected, atol), given
        else:
            assert found == expected, given
"""
"""evalplus's comparison (evalplus/eval/__init__.py), numpy's tolerance written out."""
ROOT_OF_POLYNOMIAL = """\
INPUTS = {inputs!r}


def check(candidate):
    for given in INPUTS:
        assert abs(poly(*given, candidate(*[list(each) for each in given]))) <= {atol!r}, given
"""
"""evalplus's own oracle for HumanEval/32: any root will do; `poly` is the prompt's."""
