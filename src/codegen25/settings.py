"""TOML files read into dataclasses: the recipes of data and of training."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from codegen25.errors import UserError

T = TypeVar("T")


def load(kind: type[T], path: Path, overrides: Mapping[str, str] | None = None) -> T:
    """Read `path` as a `kind`; `overrides` are dotted keys with TOML values, as of `--set`.

    An unknown key or a value of the wrong type is a UserError that names it. Paths in the file
    are relative to the working directory.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: no such recipe ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    return overridden(kind, table, overrides or {}, str(path))


def overridden(kind: type[T], table: dict[str, Any], overrides: Mapping[str, str], where: str) -> T:
    """The dataclass `kind` of a table with overrides; `where` names its origin in errors."""
    for key, value in overrides.items():
        _set(table, key, value)
    built: T = _build(kind, table, where, "")
    return built


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The overrides of `--set key=value …`."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--set {text}: give key=value, e.g. --set seed=1")
        found[key] = value
    return found


def _set(table: dict[str, Any], key: str, value: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {key}: {parent} is no table")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value


def _build(kind: Any, table: Mapping[str, Any], where: str, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}: unknown key {prefix}{key}; known: {', '.join(known)}")
        values[key] = _convert(hints[key], value, where, prefix + key)
    missing = [
        prefix + f.name
        for f in known.values()
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given")
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value, where, key + ".")
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, list):
        inner = typing.get_args(hint)
        if inner[-1] is Ellipsis:
            inner = (inner[0],) * len(value)
        if len(inner) == len(value):
            return tuple(_convert(i, v, where, key) for i, v in zip(inner, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return value
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif not isinstance(hint, types.GenericAlias) and type(value) is hint:
        if isinstance(value, str) and "\0" in value:
            raise UserError(f"{where}: {key} holds a NUL character")
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise UserError(f"{where}: {key} is {value!r}, which is no {expected}")
