"""The weight files of a model directory: found, checked, and read without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from codegen25 import int8
from codegen25.config import CONFIG, ModelConfig, read_json
from codegen25.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = WEIGHTS + ".index.json"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a directory; pickles are refused."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        names = read_json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            raise UserError(f"{folder / INDEX}: weight_map is missing or malformed")
        files = [folder / name for name in sorted(set(names.values()))]
        for file in files:
            if file.parent != folder:
                raise UserError(f"{folder / INDEX}: {file.name} lies outside the directory")
            if not file.is_file():
                raise UserError(f"{file} is missing; {INDEX} names it")
        return files
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickles:
        raise UserError(
            f"{pickles[0]}: pickled weights can run code and are refused; "
            "convert them to safetensors"
        )
    raise UserError(f"{folder}: no weights ({WEIGHTS} or {INDEX})")


@contextmanager
def opened(path: Path, framework: str = "np") -> Iterator[Any]:
    """A safetensors file; a damaged one is a UserError."""
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or truncated safetensors ({error})") from error


class Weights(Mapping[str, np.ndarray]):
    """All tensors of a model directory, checked at once and read as float32 when asked for."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        self._places: dict[str, _Place] = {}
        self._scales: dict[str, _Place] = {}
        expected = config.tensors()
        for path in weight_files(folder):
            with opened(path) as file:
                require_known(path, file, expected)
            for name, facts in _header(path).items():
                if name in expected:
                    dtype, (start, _) = facts["dtype"], facts["data_offsets"]
                    if dtype not in _DTYPES:
                        raise UserError(f"{path}: {name} is stored as {dtype}, no float type")
                    self._places[name] = (path, dtype, start, expected[name])
                elif name.endswith(int8.SCALE):
                    rows, columns = expected[name.removesuffix(int8.SCALE)]
                    place = path, facts["dtype"], facts["data_offsets"][0]
                    self._scales[name] = (*place, (rows, columns // int8.GROUP))
        require_all(folder, expected, self._places)
        require_all(folder, (n + int8.SCALE for n in self if self.is_int8(n)), self._scales)

    def __getitem__(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        return self.rows(name, slice(None))

    def rows(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of a tensor as float32; of its file no more is read."""
        stored = self.stored(name)[rows]
        if self.is_bfloat16(name):
            return (stored.astype(np.uint32) << 16).view(np.float32)
        if self.is_int8(name):
            return int8.restored(stored, _mapped(self._scales[name + int8.SCALE])[rows])
        return stored.astype(np.float32)

    def stored(self, name: str) -> np.ndarray:
        """A tensor as it lies in the file; bfloat16 as uint16."""
        return _mapped(self._places[name])

    def is_int8(self, name: str) -> bool:
        """Whether a tensor is stored in 8 bits, see `int8`."""
        return self._places[name][1] == "I8"

    def is_bfloat16(self, name: str) -> bool:
        """Whether a tensor's stored form is the upper half of a float32."""
        return self._places[name][1] == "BF16"

    @property
    def dtypes(self) -> list[str]:
        """What the tensors are stored as, by safetensors' names."""
        return sorted({dtype for _, dtype, *_ in self._places.values()})

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


_DTYPES = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1"}
_Place = tuple[Path, str, int, tuple[int, ...]]
"""File, type, offset and shape of a tensor."""


def _mapped(place: _Place) -> np.ndarray:
    path, dtype, start, shape = place
    return np.memmap(path, _DTYPES[dtype], "r", start, shape)


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """Where each tensor lies, offsets from the file's start."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    for facts in header.values():
        facts["data_offsets"] = [8 + size + each for each in facts["data_offsets"]]
    return header


def require_known(path: Path, file: Any, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse an open file with a tensor of a wrong shape, or one that belongs to no layer."""
    for name in file.keys():  # noqa: SIM118 (not a mapping)
        if (wanted := _shape(name, expected)) is not None:
            shape = tuple(file.get_slice(name).get_shape())
            if shape != wanted:
                raise UserError(
                    f"{path}: {name} has shape {list(shape)}, {CONFIG} asks for {list(wanted)}"
                )
            kind = file.get_slice(name).get_dtype()
            if name.endswith(int8.SCALE) and kind != "F16":
                raise UserError(f"{path}: {name} is stored as {kind}, scales are F16")
        elif not name.endswith("rotary_emb.inv_freq") and name != "lm_head.weight":
            raise UserError(f"{path}: {name} belongs to no layer of {CONFIG}")


def _shape(name: str, expected: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape that a tensor of a file must have; None if no layer has it."""
    matrix = expected.get(name.removesuffix(int8.SCALE), ())
    if name.endswith(int8.SCALE) and int8.fits(matrix):
        return matrix[0], matrix[1] // int8.GROUP
    return expected.get(name)


def require_all(folder: Path, expected: Iterable[str], found: Iterable[str]) -> None:
    """Refuse a directory that lacks a tensor."""
    missing = sorted(set(expected) - set(found))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{folder}: the weights lack {missing[0]}{more}")
