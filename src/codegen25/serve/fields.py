"""Fields that the dialects share: types with their ranges, and what is left out of a request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from codegen25.errors import UserError
from codegen25.sample.options import MAX_BIASES, MAX_LOGPROBS
from codegen25.serve.ask import MOST_EXTRA, MOST_SAMPLES
from codegen25.serve.service import Served, Service

MAX_TEXT = 2_000_000
MAX_STOPS = 16
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


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_unicode)]
Name = Annotated[str, Field(max_length=512), AfterValidator(_unicode)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Count = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
Temperature = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=-1, le=1_000_000)]
MinP = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Repetition = Annotated[float, Field(ge=0.01, le=10)]
Seed = Annotated[int, Field(ge=-1, lt=2**63)]
Logprobs = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]
Id = Annotated[int, Field(ge=0, lt=2**31)]
Stop = Text | Annotated[list[Text], Field(max_length=MAX_STOPS)] | None
Bias = Annotated[
    dict[Annotated[str, Field(max_length=12)], Annotated[float, Field(ge=-100, le=100)]],
    Field(max_length=MAX_BIASES),
]
Snippets = Annotated[list[Any], Field(max_length=MOST_EXTRA)]


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
