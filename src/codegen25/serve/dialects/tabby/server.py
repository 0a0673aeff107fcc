"""What Tabby's clients ask besides completions, and what they tell."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from codegen25.serve import fields as f
from codegen25.serve.accepted import key
from codegen25.serve.chat_template import chats
from codegen25.serve.reply import reply
from codegen25.serve.served import Served

VERSION = "v0.30.0"
"""Of the protocol that this follows; clients look at it."""

router = APIRouter(tags=["Tabby"])


class EventBody(f.Body):
    """What became of a completion."""

    type: Literal["view", "select", "dismiss"]
    completion_id: f.Name
    choice_index: Annotated[int, Field(ge=0, le=1000)] = 0


@router.post("/v1/events", response_class=Response)
async def events(body: EventBody, request: Request, select_kind: str = "") -> Response:
    """Count what became of a completion; one that was accepted is kept when the user asked so."""
    service = f.service_of(request)
    service.metrics.noted(body.type)
    name = key(f.owner_of(request), body.completion_id, body.choice_index)
    if body.type == "select":
        line = select_kind == "line"
        await asyncio.to_thread(service.events.select, name, line=line)
    elif body.type == "dismiss":
        service.events.dismiss(name)
    return Response(status_code=200)


@router.get("/v1/health")
@router.post("/v1/health")
async def health(request: Request) -> Response:
    """That it is up. Everybody may ask, so that nothing is told of the machine."""
    served = f.service_of(request).default
    device = _device(served)
    here = {"local": {"model_id": served.name, "device": device}}
    return reply({
        "model": served.name, "chat_model": served.name if chats(served) else None,
        "device": device, "arch": "", "cpu_info": "", "cpu_count": 0, "cuda_devices": [],
        "models": {"completion": here, "chat": here if chats(served) else None, "embedding": here},
        "version": {
            "build_date": "", "build_timestamp": "", "git_sha": "", "git_describe": VERSION,
        },
    })  # fmt: skip


@router.get("/v1beta/server_setting")
async def server_setting() -> Response:
    """What clients are told to do: nothing leaves the machine."""
    return reply({"disable_client_side_telemetry": True})


@router.get("/v1beta/models")
async def models(request: Request) -> Response:
    """The served models by what they can do."""
    served = list(f.service_of(request).models.values())
    return reply({
        "completion": [each.name for each in served],
        "chat": [each.name for each in served if chats(each)],
    })  # fmt: skip


def _device(served: Served) -> str:
    device = getattr(getattr(served.backend, "runner", None), "device", "cpu")
    return str(device).partition(":")[0]
