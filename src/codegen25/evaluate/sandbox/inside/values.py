"""Values that cross between a test and a candidate: plain built-in ones, as JSON.

`pack` runs beside the candidate, `unpack` makes exact types only, so nothing that arrives on the
test's side can bring code of its own: no `__eq__`, no `__hash__`, no `__bool__`.

Containers and numbers of the standard library arrive as what they are. Instances of subclasses of
the built-in types that leave comparison alone (a named tuple, an IntEnum) arrive as the built-in;
iterators arrive as iterators over their items. Everything else is `OpaqueError`.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

DEPTH, ITEMS = 100, 1_000_000
_JSON_INTEGERS = 1 << 63
_PLAIN = (str, bool, float, type(None))
_BASES = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__")
_ITERATORS = frozenset(
    {type(x for x in ""), map, filter, zip, enumerate, reversed, type(iter([])), type(iter(()))}
    | {type(iter({})), type(iter(set())), type(iter("")), type(iter(range(1))), type(reversed([]))}
)


class OpaqueError(Exception):
    """A value that cannot cross; its text says which.

    `plain`: one that a value which did cross can lead to, nested too deep or one of its views; not
    a function, and no instance of a class of somebody's own.
    """

    def __init__(self, text: str, plain: bool = True) -> None:
        super().__init__(text)
        self.plain = plain


def pack(value: Any, depth: int = DEPTH) -> Any:
    """What `json.dumps` takes and `unpack` turns back."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if -_JSON_INTEGERS < value < _JSON_INTEGERS else {"int": hex(value)}
    if depth < 0:
        raise OpaqueError(f"nested deeper than {DEPTH}")
    if kind is list:
        return _items(value, depth - 1)
    if kind in _PACKERS:
        name, body = _PACKERS[kind]
        return {name: body(value, depth - 1)}
    if kind in _ITERATORS:
        items = list(islice(value, ITEMS + 1))
        if len(items) > ITEMS:
            raise OpaqueError(f"an iterator of more than {ITEMS} items")
        return {"iterator": _items(items, depth - 1)}
    return pack(_reduced(value, kind), depth - 1)


def _items(values: Iterable[Any], depth: int) -> list[Any]:
    return [v if type(v) in _PLAIN else pack(v, depth) for v in values]


def _pairs(value: Any, depth: int) -> list[list[Any]]:
    return [[pack(key, depth), pack(item, depth)] for key, item in value.items()]


_PACKERS: dict[type, tuple[str, Callable[[Any, int], Any]]] = {
    tuple: ("tuple", _items),
    dict: ("dict", _pairs),
    set: ("set", _items),
    frozenset: ("frozenset", _items),
    bytes: ("bytes", lambda value, depth: value.hex()),
    bytearray: ("bytearray", lambda value, depth: value.hex()),
    complex: ("complex", lambda value, depth: [value.real, value.imag]),
    range: ("range", lambda value, depth: _items((value.start, value.stop, value.step), depth)),
    slice: ("slice", lambda value, depth: _items((value.start, value.stop, value.step), depth)),
    type(...): ("ellipsis", lambda value, depth: 0),
    type({}.keys()): ("keys", _items),
    type({}.values()): ("values", _items),
    type({}.items()): ("items", _items),
    deque: ("deque", _items),
    OrderedDict: ("OrderedDict", _pairs),
    defaultdict: ("defaultdict", _pairs),
    Counter: ("Counter", _pairs),
}


def _reduced(value: Any, kind: type) -> Any:
    """An unusual value as a usual one that compares alike."""
    module, name = kind.__module__, kind.__qualname__
    if module == "decimal" and name == "Decimal":
        return _Marked("Decimal", str(value))
    if module == "fractions" and name == "Fraction":
        return _Marked("Fraction", [hex(value.numerator), hex(value.denominator)])
    if module == "numpy" and "numpy" in sys.modules:
        generic: type = sys.modules["numpy"].generic
        if issubclass(kind, generic) and value.ndim == 0:
            return value.item()
    for base in _BASES:
        if issubclass(kind, base) and all(
            getattr(kind, each, None) is getattr(base, each, None) for each in _COMPARISONS
        ):
            return _as(base, value)
    plain = module in ("builtins", "collections", "_collections") and not callable(value)
    raise OpaqueError(f"a value of type {name[:80]}", plain)


def _as(base: type, value: Any) -> Any:
    if base is int:
        return int.__index__(value)
    if base is str:
        return str.__str__(value)
    if base is float:
        return float.__float__(value)
    return base(value)


class _Marked:
    def __init__(self, name: str, body: Any) -> None:
        self.name, self.body = name, body


_PACKERS[_Marked] = ("marked", lambda value, depth: [value.name, value.body])


def unpack(packed: Any, depth: int = DEPTH) -> Any:
    """The value of what `pack` made. ValueError or TypeError: it made no such thing."""
    kind = type(packed)
    if kind is list:
        if depth < 0:
            raise ValueError(f"nested deeper than {DEPTH}")
        return _all(packed, depth - 1)
    if kind is not dict:
        return packed
    ((name, body),) = packed.items()
    if name not in _MAKERS:
        raise ValueError(f"no such value: {str(name)[:80]}")
    if depth < 0 and name != "int":
        raise ValueError(f"nested deeper than {DEPTH}")
    return _MAKERS[name](body, depth - 1)


def _all(body: Any, depth: int) -> list[Any]:
    return [unpack(item, depth) if type(item) in (list, dict) else item for item in body]


def _pairs_of(body: Any, depth: int) -> list[tuple[Any, Any]]:
    return [(unpack(key, depth), unpack(item, depth)) for key, item in body]


def _text(body: Any) -> str:
    if type(body) is not str:
        raise ValueError("no text")
    return body


def _marked(body: Any, depth: int) -> Any:
    name, inner = body
    if name == "Decimal":
        from decimal import Decimal

        return Decimal(_text(inner))
    if name == "Fraction":
        from fractions import Fraction

        above, below = (int(_text(part), 16) for part in inner)
        return Fraction(above, below)
    raise ValueError("no such value")


def _parts(body: Any, depth: int) -> tuple[Any, Any, Any]:
    first, second, third = _all(body, depth)
    return first, second, third


_MAKERS: dict[str, Callable[[Any, int], Any]] = {
    "int": lambda body, depth: int(_text(body), 16),
    "tuple": lambda body, depth: tuple(_all(body, depth)),
    "dict": lambda body, depth: dict(_pairs_of(body, depth)),
    "set": lambda body, depth: set(_all(body, depth)),
    "frozenset": lambda body, depth: frozenset(_all(body, depth)),
    "bytes": lambda body, depth: bytes.fromhex(_text(body)),
    "bytearray": lambda body, depth: bytearray.fromhex(_text(body)),
    "complex": lambda body, depth: complex(float(body[0]), float(body[1])),
    "range": lambda body, depth: range(*_parts(body, depth)),
    "slice": lambda body, depth: slice(*_parts(body, depth)),
    "ellipsis": lambda body, depth: ...,
    "keys": lambda body, depth: dict.fromkeys(_all(body, depth)).keys(),
    "values": lambda body, depth: dict(enumerate(_all(body, depth))).values(),
    "items": lambda body, depth: dict(_all(body, depth)).items(),
    "deque": lambda body, depth: deque(_all(body, depth)),
    "OrderedDict": lambda body, depth: OrderedDict(_pairs_of(body, depth)),
    "defaultdict": lambda body, depth: defaultdict(None, _pairs_of(body, depth)),
    "Counter": lambda body, depth: Counter(dict(_pairs_of(body, depth))),
    "iterator": lambda body, depth: iter(_all(body, depth)),
    "marked": _marked,
}


def replace(old: Any, new: Any) -> None:
    """Give a mutable argument the content it has beside the candidate after the call."""
    if type(old) is not type(new):
        return
    if type(old) in (list, bytearray):
        old[:] = new
    elif type(old) in (dict, set, OrderedDict, defaultdict, Counter):
        old.clear()
        old.update(new)
    elif type(old) is deque:
        old.clear()
        old.extend(new)


def mutable(value: Any) -> bool:
    """Whether a call can change this argument in place."""
    kinds = (list, dict, set, bytearray, deque, OrderedDict, defaultdict, Counter)
    return type(value) in kinds
