"""What llama.cpp's server says of itself: sizes, never anybody's text."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25 import __version__
from codegen25.serve import fields as f
from codegen25.serve.reply import reply

router = APIRouter()


@router.get("/props")
async def props(request: Request) -> Response:
    """What is served."""
    served = f.served(request, None)
    layouts = [layout.value for layout in served.backend.form.layouts]
    return reply({
        "model": served.name,
        "model_alias": served.name,
        "context": served.backend.context,
        "layouts": layouts,
        "default_layout": layouts[0],
        "build_info": f"codegen25 {__version__}",
        "default_generation_settings": {"n_ctx": served.backend.context},
        "total_slots": served.backend.rows,
    })  # fmt: skip


@router.get("/slots")
async def slots(request: Request) -> Response:
    """What is busy. A slot is a row of the batch; any request may be in any."""
    served = f.served(request, None)
    busy = served.backend.requests[0]
    found: list[dict[str, Any]] = [
        {"id": i, "n_ctx": served.backend.context, "is_processing": i < busy}
        for i in range(served.backend.rows)
    ]
    return reply(found)
