"""OpenAI's `/v1/models`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.serve import fields as f
from codegen25.serve.reply import reply
from codegen25.serve.served import Served

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models")
async def models(request: Request) -> Response:
    """The served models, the default first."""
    service = f.service_of(request)
    service.require_ready()
    served = service.models.values()
    return reply({"object": "list", "data": [_model(each) for each in served]})


@router.get("/v1/models/{model:path}")
async def model_by_name(model: str, request: Request) -> Response:
    """One served model."""
    return reply(_model(f.served(request, model)))


def _model(served: Served) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": 0,
        "owned_by": "codegen25",
        "max_model_len": served.backend.context,
    }
