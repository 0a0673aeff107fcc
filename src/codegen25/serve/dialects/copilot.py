"""Copilot's dialect, as FauxPilot's clients speak it. An engine is a served model where it has the
name of one, else the default: clients have names of their own."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from codegen25.serve import fields as f
from codegen25.serve.dialects import openai
from codegen25.serve.dialects.openai_body import CompletionBody
from codegen25.serve.languages import language_named, language_of_text
from codegen25.serve.prompts import infill_tokens
from codegen25.serve.reply import reply

MAX_TOKENS = 64
TOKEN_SECONDS = 3600

router = APIRouter(tags=["Copilot"])


class Extra(f.Body):
    """What an editor knows of the file."""

    language: Annotated[str, Field(max_length=40)] | None = None


class CopilotBody(f.Body):
    """The request."""

    prompt: f.Text = ""
    suffix: f.Text | None = None
    max_tokens: f.Tokens | None = None
    temperature: f.Temperature | None = None
    top_p: f.TopP | None = None
    n: f.Count | None = None
    stop: f.Stop = None
    seed: f.Seed | None = None
    logprobs: f.Logprobs | None = None
    stream: bool = False
    extra: Extra | None = None


@router.post("/v1/engines/{engine}/completions")
async def completions(engine: str, body: CopilotBody, request: Request) -> Response:
    """Fill in between `prompt` and `suffix`, somebody's keystroke."""
    served = f.served_or_default(request, engine)
    suffix = body.suffix or ""
    named = body.extra.language if body.extra else None
    language = language_named(named) if named else language_of_text(body.prompt + suffix)
    wanted = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    asked = CompletionBody(
        model=served.name, prompt=body.prompt, suffix=suffix,
        max_tokens=infill_tokens(served, wanted),
        temperature=body.temperature or 0.0, top_p=body.top_p, n=body.n, stop=body.stop,
        seed=body.seed or 0, logprobs=body.logprobs, stream=body.stream, session=True,
        language=language,
    )  # fmt: skip
    return await openai.completions(asked, request)


@router.get("/copilot_internal/v2/token")
async def token() -> Response:
    """What a plugin wants before it asks anything. It opens nothing: keys are checked as ever."""
    expires = int(time.time()) + TOKEN_SECONDS
    shown: dict[str, Any] = {
        "token": f"codegen25;exp={expires}",
        "expires_at": expires,
        "refresh_in": TOKEN_SECONDS // 2,
    }
    return reply(shown)
