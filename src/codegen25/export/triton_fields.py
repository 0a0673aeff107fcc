"""What a Triton model of ours takes and returns: one table for its configuration and its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen25.errors import UserError
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import DEFAULT_MAX_TOKENS, Request
from codegen25.sample.stopping import Stops

MAX_STOPS, MAX_STOP_LENGTH = 16, 256
MAX_CHARACTERS = 1 << 20
"""Of a text; the engine cuts it to the model's context."""

_PYTHON = {
    "STRING": (str,),
    "BOOL": (bool,),
    "INT32": (int,),
    "INT64": (int,),
    "FP32": (int, float),
}


@dataclass(frozen=True)
class Field:
    """A tensor by name: Triton's datatype without TYPE_, and one value or any number (-1)."""

    name: str
    datatype: str
    about: str
    optional: bool = True
    dims: int = 1

    def read(self, array: np.ndarray) -> Any:
        """The value of a tensor: text from UTF-8, floats by their shortest decimal form."""
        values = [self._plain(value) for value in array.reshape(-1)]
        if self.dims == -1:
            return values
        if len(values) != 1:
            raise UserError(f"{self.name} has {len(values)} values; it takes one")
        return values[0]

    def check(self, value: Any) -> Any:
        """A value that came as a request's parameter, which Triton does not check."""
        kinds = _PYTHON[self.datatype]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{self.name} is {value!r:.40}; it is of type {self.datatype}")
        return [value] if self.dims == -1 else value

    def _plain(self, value: Any) -> Any:
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise UserError(f"{self.name} is not UTF-8 (byte {error.start})") from error
        # 0.2 as a float32 is 0.200000003; who wrote 0.2 means what 0.2 means everywhere else.
        return float(str(value)) if self.datatype == "FP32" else value.item()


INPUTS = (
    Field("text_input", "STRING", "the text before the cursor", optional=False),
    Field("suffix", "STRING", "the text after it; without this input the text is continued"),
    Field("max_tokens", "INT32", f"stop after so many; {DEFAULT_MAX_TOKENS} by default"),
    Field("temperature", "FP32", "0, the default, takes the likeliest token every time"),
    Field("top_p", "FP32", "draw from the smallest set of this probability; 0.95"),
    Field("top_k", "INT32", "draw from so many tokens; 0, the default, is all"),
    Field("seed", "INT64", "the same seed gives the same answer; 0"),
    Field("stop", "STRING", "texts that end the answer and are no part of it", dims=-1),
    Field("layout", "STRING", "how the prompt is arranged; the model's own by default"),
    Field("stream", "BOOL", "many responses, as the text comes; false: one with all of it"),
)
OUTPUTS = (
    Field("text_output", "STRING", "the answer; with stream its next piece"),
    Field("stop_reason", "STRING", "end, stop or length; in the last response"),
    Field("tokens", "INT32", "how many were generated; in the last response"),
)
_FIELDS = {field.name: field for field in INPUTS}


def merged(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values of inputs, and of those given as parameters of the request; others are refused."""
    checked = {}
    for name, value in parameters.items():
        if name == "id" or name.startswith("triton_"):  # Triton's own
            continue
        if name not in _FIELDS:
            raise UserError(f"{name:.40} is unknown; the inputs are {', '.join(_FIELDS)}")
        checked[name] = _FIELDS[name].check(value)
    return {**checked, **values}


def request_of(values: Mapping[str, Any], engine: Engine) -> Request:
    """The request for inputs by name; what is wrong with them is a UserError."""
    if "text_input" not in values:
        raise UserError("text_input is missing; it is the text before the cursor")
    prefix, suffix = values["text_input"], values.get("suffix", "")
    for name, text in (("text_input", prefix), ("suffix", suffix)):
        if len(text) > MAX_CHARACTERS:
            raise UserError(f"{name} has {len(text)} characters; it takes {MAX_CHARACTERS}")
    stops = tuple(values.get("stop", ()))
    if len(stops) > MAX_STOPS or any(len(stop) > MAX_STOP_LENGTH for stop in stops):
        raise UserError(f"stop takes {MAX_STOPS} texts of at most {MAX_STOP_LENGTH} characters")
    chosen = {name: values[name] for name in ("temperature", "top_p", "top_k", "seed")
              if name in values}  # fmt: skip
    max_tokens = values.get("max_tokens", DEFAULT_MAX_TOKENS)
    layout = values.get("layout", None if "suffix" in values else "causal")
    prompt = engine.prompt(prefix, suffix, max_tokens=max_tokens, layout=layout)
    return Request(
        prompt, max_tokens, Sampling(**chosen), stops=Stops(stops), prefix=prefix, suffix=suffix
    )
