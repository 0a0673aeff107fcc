"""Fields that the dialects share: types with their ranges, and what is left out of a request."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from codegen25.errors import UserError
from codegen25.sample.options import MAX_BIASES, MAX_LOGPROBS
from codegen25.serve.ask import MOST_SAMPLES
from codegen25.serve.served import Served
from codegen25.serve.service import Service

T = TypeVar("T")
MAX_TEXT = 2_000_000
MAX_STOPS, MAX_STOP_LENGTH = 16, 256
MAX_IDS = 1 << 18
"""Of a list of ids or texts, lists within it included, before the model's context is looked at."""
MOST_TOKENS = 1_000_000
"""Of an answer, before the model's context is looked at."""


class Body(BaseModel):
    """A JSON body: unknown keys are ignored, and a number may stand in quotes."""

    model_config = ConfigDict(extra="ignore", strict=False)


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid Unicode (a lone surrogate)") from None
    return text


def at_most(most: int) -> BeforeValidator:
    """Refuse more than `most` items, those of lists within a list included, before any of them is
    looked at."""

    def check(value: Any) -> Any:
        if isinstance(value, (list, dict)):
            count = len(value)
            if count <= most:
                count += sum(len(each) for each in value if isinstance(each, list))
            if count > most:
                raise ValueError(f"{count} items; it takes at most {most}")
        return value

    return BeforeValidator(check)


Items = Annotated[list[T], Field(fail_fast=True)]
"""A list that is given up at its first wrong item: a body could hold a million of them."""
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_unicode)]
Name = Annotated[str, Field(max_length=512), AfterValidator(_unicode)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Count = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
Temperature = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=-1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Repetition = Annotated[float, Field(ge=0.01, le=10)]
Seed = Annotated[int, Field(ge=-1, lt=2**63)]
Logprobs = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]
Id = Annotated[int, Field(ge=0, lt=2**31)]
StopText = Annotated[str, Field(max_length=MAX_STOP_LENGTH), AfterValidator(_unicode)]
Stop = Annotated[
    StopText | Annotated[Items[StopText], Field(max_length=MAX_STOPS)] | None, at_most(MAX_STOPS)
]
Bias = Annotated[
    dict[Annotated[str, Field(max_length=12)], Annotated[float, Field(ge=-100, le=100)]],
    Field(max_length=MAX_BIASES),
    at_most(MAX_BIASES),
]


def stops_of(stop: Stop) -> tuple[str, ...]:
    """Stop strings as a tuple; empty ones stop nothing."""
    found = [stop] if isinstance(stop, str) else stop or []
    return tuple(each for each in found if each)


def bias_of(bias: dict[str, float] | None) -> tuple[tuple[int, float], ...]:
    """OpenAI's `logit_bias`: ids are keys, thus text."""
    try:
        return tuple((int(token), value) for token, value in (bias or {}).items())
    except ValueError:
        raise UserError("logit_bias: its keys are token ids") from None


def seed_of(seed: int | None) -> int:
    """A seed; none, or -1, draws one from the clock's noise."""
    if seed is None or seed < 0:
        import secrets

        return secrets.randbits(62)
    return seed


def service_of(request: Request) -> Service:
    """The service of the app that a request came to."""
    service: Service = request.app.state.service
    return service


def served(request: Request, model: str | None) -> Served:
    """The model that a request names."""
    return service_of(request).model(model)


def served_or_default(request: Request, model: str | None) -> Served:
    """The model that a request names, the default where the name is none of ours: some clients
    have names of their own."""
    service = service_of(request)
    return service.model(model if model in service.models else None)


def owner_of(request: Request) -> str:
    """Whose keys and values a request may share."""
    owner: str = request.scope.get("owner", "")
    return owner
