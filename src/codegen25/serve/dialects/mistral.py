"""Mistral's fill-in-the-middle, `/v1/fim/completions`, which Continue and others speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.answers import ending, head, usage
from codegen25.serve.ask import Ask
from codegen25.serve.languages import language_of_text
from codegen25.serve.prompts import infill_tokens
from codegen25.serve.reply import DONE, EVENTS, begun, event, reply, while_there
from codegen25.serve.served import Served

MAX_TOKENS = 64

router = APIRouter(tags=["Mistral"])


class FimBody(f.Body):
    """The request. Greedy unless a temperature is given."""

    model: f.Name | None = None
    prompt: f.Text
    suffix: f.Text | None = None
    max_tokens: f.Tokens | None = None
    temperature: f.Temperature | None = None
    top_p: f.TopP | None = None
    random_seed: f.Seed | None = None
    stop: f.Stop = None
    stream: bool | None = False


@router.post("/v1/fim/completions")
@router.post("/fim/completions")
async def fim(body: FimBody, request: Request) -> Response:
    """Fill in between `prompt` and `suffix`, somebody's keystroke."""
    served = f.served(request, body.model)
    wanted = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    suffix = body.suffix or ""
    ask = Ask(
        body.prompt, suffix, max_tokens=infill_tokens(served, wanted), typing=True,
        sampling=Sampling(
            body.temperature or 0.0, 1.0 if body.top_p is None else body.top_p,
            max(0, body.random_seed or 0),
        ),
        stops=replace(Stops.editor(), strings=f.stops_of(body.stop)),
        language=language_of_text(body.prompt + suffix), owner=f.owner_of(request),
    )  # fmt: skip
    kind = "chat.completion.chunk" if body.stream else "chat.completion"
    top = head("fim", kind, served.name)
    if body.stream:
        return await begun(request.receive, _events(request, served, ask, top), EVENTS)
    service = f.service_of(request)
    found = await while_there(request.receive, service.answers(served, ask))
    message = {"role": "assistant", "content": found[0].text, "tool_calls": None}
    choice = {"index": 0, "message": message, **ending(found[0])}
    return reply({**top, "choices": [choice], "usage": usage(found, 1)})


async def _events(
    request: Request, served: Served, ask: Ask, top: dict[str, Any]
) -> AsyncIterator[bytes]:
    role = {"role": "assistant"}  # of the first chunk alone
    async for _, piece in f.service_of(request).stream(served, [ask]):
        last = piece.completion
        choice = {"index": 0, "delta": {**role, "content": piece.text}, "finish_reason": None}
        role = {}
        if last is None:
            yield event({**top, "choices": [choice]})
        else:
            choice |= ending(last)
            yield event({**top, "choices": [choice], "usage": usage([last], 1)})
    yield DONE
