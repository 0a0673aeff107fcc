"""Answers to Ollama's clients, in lines of JSON unless `stream` is off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.chat_template import chats, require_chat
from codegen25.serve.dialects.ollama import server
from codegen25.serve.dialects.ollama.body import Body, ChatBody, GenerateBody
from codegen25.serve.dialects.ollama.reply import Refusal, Shape, ending, head, message, response
from codegen25.serve.dialects.ollama.server import named
from codegen25.serve.reply import LINES, begun, line, reply, while_there
from codegen25.serve.served import Served

FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 404, 408, 413, 431, 501, 503)
}
router = APIRouter(tags=["Ollama"], responses=FAULTS)
router.include_router(server.router)


@router.post("/api/generate")
async def generate(body: GenerateBody, request: Request) -> Response:
    """Fill in between `prompt` and `suffix`, or go on from `prompt`; without both, only load."""
    served = named(request, body.model)
    if not body.prompt and not body.suffix:
        return _loaded(body, response)
    work = body.ask(served, f.owner_of(request), chats=chats(served))
    return await _answered(
        body, request, served, await while_there(request.receive, work), response
    )


@router.post("/api/chat")
async def chat(body: ChatBody, request: Request) -> Response:
    """Answer the last message. Models that only complete code are a 404."""
    served = named(request, body.model)
    if not body.messages:
        return _loaded(body, message)
    require_chat(served)
    messages = [(each.role, each.content) for each in body.messages]
    work = body.chat(served, messages, f.owner_of(request))
    return await _answered(body, request, served, await while_there(request.receive, work), message)


def _loaded(body: Body, shape: Shape) -> Response:
    return reply({**head(body), **shape(""), "done": True, "done_reason": "load"})


async def _answered(
    body: Body, request: Request, served: Served, ask: Ask, shape: Shape
) -> Response:
    if body.stream is not False:
        return await begun(request.receive, _lines(body, request, served, ask, shape), LINES)
    answers = f.service_of(request).answers(served, ask)
    [found] = await while_there(request.receive, answers)
    return reply({**head(body), **shape(found.text), **ending(found)})


async def _lines(
    body: Body, request: Request, served: Served, ask: Ask, shape: Shape
) -> AsyncIterator[bytes]:
    async for _, piece in f.service_of(request).stream(served, [ask]):
        if piece.text:
            yield line({**head(body), **shape(piece.text), "done": False})
        if piece.completion is not None:
            yield line({**head(body), **shape(""), **ending(piece.completion)})
