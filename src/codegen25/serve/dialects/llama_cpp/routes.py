"""`/infill` and `/completion`, and what the server says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.errors import UserError
from codegen25.sample.request import Completion
from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.dialects.llama_cpp import server, tokens
from codegen25.serve.dialects.llama_cpp.asks import CompletionBody, InfillBody
from codegen25.serve.dialects.llama_cpp.body import Adapter, Body
from codegen25.serve.dialects.llama_cpp.reply import answer, picked, piece
from codegen25.serve.refusals import UnknownModelError
from codegen25.serve.reply import EVENTS, begun, event, reply, while_there
from codegen25.serve.served import Served, together
from codegen25.serve.service import Service

router = APIRouter(tags=["llama.cpp"])
router.include_router(server.router)
router.include_router(tokens.router)


@router.post("/infill")
async def infill(body: InfillBody, request: Request) -> Response:
    """Fill in between `input_prefix` with `prompt` and `input_suffix`."""
    served = _served(body, request)
    return await _answered(body, request, served, [body.ask(served, f.owner_of(request))])


@router.post("/completion")
@router.post("/completions")
async def completion(body: CompletionBody, request: Request) -> Response:
    """Continue a prompt."""
    served = _served(body, request)
    asks = await while_there(request.receive, body.asks(served, f.owner_of(request)))
    return await _answered(body, request, served, asks)


def _served(body: Body, request: Request) -> Served:
    """The model a request names, or the one whose adapter it names."""
    return _adapted(f.served(request, body.model), body.lora, request)


def _adapted(named: Served, lora: Sequence[Adapter], request: Request) -> Served:
    wanted = [each.id for each in lora if each.scale]
    if not wanted:
        return named
    if len(wanted) > 1:
        raise UserError("lora names several adapters; they are merged and can't be mixed")
    adapters = list(f.service_of(request).models.values())[1:]
    if wanted[0] >= len(adapters):
        raise UnknownModelError(
            f"lora: there is no adapter {wanted[0]}; {len(adapters)} are served"
        )
    return adapters[wanted[0]]


async def _answered(body: Body, request: Request, served: Served, asks: list[Ask]) -> Response:
    """Every answer; several of them are an array."""
    service = f.service_of(request)
    if body.stream:
        return await begun(request.receive, _events(body, request, served, asks), EVENTS)
    work = _computed(service, served, asks)
    pairs = zip(asks, await while_there(request.receive, work), strict=True)
    every = [(ask, completion) for ask, found in pairs for completion in found]
    shown: list[Any] = [
        picked(answer(served, ask, completion, index), body.response_fields)
        for index, (ask, completion) in enumerate(every)
    ]
    return reply(shown[0] if len(shown) == 1 else shown)


async def _computed(service: Service, served: Served, asks: list[Ask]) -> list[list[Completion]]:
    with served.held(asks):
        return await together(service.compute(served, ask) for ask in asks)


async def _events(
    body: Body, request: Request, served: Served, asks: list[Ask]
) -> AsyncIterator[bytes]:
    async for index, part in f.service_of(request).stream(served, asks):
        if part.text:
            yield event(piece(part.text, index))
        if part.completion is not None:
            ask = asks[index // asks[0].n]
            last = answer(served, ask, part.completion, index) | {"content": ""}
            yield event(picked(last, body.response_fields))
