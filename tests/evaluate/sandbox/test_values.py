from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen25.evaluate.sandbox.inside.values import DEPTH, OpaqueError, pack, replace, unpack

HASHED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
)  # fmt: skip
VALUES = st.recursive(
    HASHED | st.sets(HASHED, max_size=3) | st.binary().map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HASHED, inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3).map(deque),
)  # fmt: skip


def crossed(value: Any) -> Any:
    return unpack(json.loads(json.dumps(pack(value))))


def kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value), [(kinds(k), kinds(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return type(value), [kinds(each) for each in value]
    return type(value)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(VALUES)
def test_plain_values_cross_as_what_they_are(value: Any) -> None:
    back = crossed(value)
    assert back == value and kinds(back) == kinds(value)


def test_values_of_the_standard_library_cross() -> None:
    for value in (
        Counter("abca"), OrderedDict([(2, 1), (1, 2)]), deque([1, [2]]), range(1, 9, 2),
        Decimal("1.50"), Fraction(1, 3), 10**5000, -(2**63), float("inf"), ..., slice(1, None),
    ):  # fmt: skip
        assert crossed(value) == value and type(crossed(value)) is type(value)
    assert crossed(defaultdict(list, {1: [2]})) == {1: [2]}
    assert crossed({1: 2}.keys()) == {1} and list(crossed({1: 2}.values())) == [2]
    assert repr(crossed(float("nan"))) == "nan" and crossed(True) is True


def test_subclasses_that_compare_alike_arrive_as_the_built_in() -> None:
    pair = namedtuple("pair", "a b")

    class Colour(IntEnum):
        RED = 1

    class Names(list[str]):
        pass

    for value, plain in ((pair(1, 2), (1, 2)), (Colour.RED, 1), (Names("ab"), ["a", "b"])):
        assert crossed(value) == plain and type(crossed(value)) is type(plain)
    for value in (np.float64(0.5), np.int32(7), np.bool_(True)):
        assert crossed(value) == value and type(crossed(value)) in (float, int, bool)


def test_iterators_arrive_as_iterators() -> None:
    for value in (iter([1, 2]), (x for x in (1, 2)), map(int, "12"), filter(None, [1, 2])):
        back = crossed(value)
        assert back != [1, 2] and next(back) == 1 and list(back) == [2]


def test_what_cannot_cross() -> None:
    class Equal(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    ring: list[Any] = []
    ring.append(ring)
    endless = iter(lambda: 1, 2)
    for value in (Equal(1), object(), print, int, ring, np.zeros(3), endless, [object()]):
        with pytest.raises(OpaqueError):
            pack(value)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["tuple", "dict", "set", "int", "range", "marked", "bytes",
                                       "complex", "iterator", "items", "x"]), inner, max_size=2),
))  # fmt: skip
def test_no_message_makes_anything_but_plain_values(message: Any) -> None:
    try:
        value = unpack(message)
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError, ArithmeticError):
        return
    assert type(value).__module__ in ("builtins", "collections", "decimal", "fractions")
    pack(value)  # a test may give it back


@pytest.mark.parametrize("around", [
    lambda inner: [inner], lambda inner: (inner,), lambda inner: {1: inner},
    lambda inner: deque([inner]), lambda inner: iter([inner]), lambda inner: frozenset([inner]),
])  # fmt: skip
def test_both_sides_bound_the_depth_alike(around: Callable[[Any], Any]) -> None:
    value = around(2**70)
    for _ in range(DEPTH):
        value = around(value)
    packed = pack(value)
    pack(unpack(packed))
    with pytest.raises(ValueError, match="nested deeper"):
        unpack([packed])
    with pytest.raises(OpaqueError, match="nested deeper") as error:
        pack([unpack(packed)])
    assert error.value.plain


def test_what_a_value_that_crossed_can_lead_to_is_told_apart() -> None:
    class Own:
        pass

    plain = (OrderedDict([(1, 2)]).items(), iter(deque([1])))
    for value, told in [*((each, True) for each in plain), (Own(), False), (len, False),
                        (lambda: 1, False), (Own, False)]:  # fmt: skip
        with pytest.raises(OpaqueError) as error:
            pack(value)
        assert error.value.plain is told


def test_arguments_get_the_content_that_they_have_elsewhere() -> None:
    for old, new in (([1], [2, 3]), ({1: 2}, {3: 4}), ({1}, {2}), (bytearray(b"a"), bytearray())):
        replace(old, new)
        assert old == new
    kept = [1]
    replace(kept, (2,))
    assert kept == [1]
