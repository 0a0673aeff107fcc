"""What Ollama's clients ask about models. None is loaded, made or deleted at a client's wish."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.infill import Layout
from codegen25.serve import fields as f
from codegen25.serve.reply import reply
from codegen25.serve.served import Served

VERSION = "0.12.0"
"""Of the protocol that this follows; clients compare it."""
LATEST = ":latest"
NEVER = "9999-12-31T23:59:59Z"
SINCE = "2026-01-01T00:00:00Z"

router = APIRouter()


class ShowBody(f.Body):
    """Which model, under either name of the field."""

    model: f.Name = ""
    name: f.Name = ""


def named(request: Request, model: str) -> Served:
    """A served model, with or without `:latest` behind its name."""
    return f.served(request, model.removesuffix(LATEST))


@router.get("/api/version")
async def version() -> Response:
    """Which of Ollama's versions this can be taken for."""
    return reply({"version": VERSION})


@router.get("/api/tags")
async def tags(request: Request) -> Response:
    """The served models."""
    service = f.service_of(request)
    _ = service.default  # while it loads, that is said
    return reply({"models": [_entry(each) for each in service.models.values()]})


@router.get("/api/ps")
async def ps(request: Request) -> Response:
    """The same: what is served is loaded, and stays so."""
    service = f.service_of(request)
    running = {"expires_at": NEVER, "size_vram": 0}
    return reply({"models": [_entry(each) | running for each in service.models.values()]})


@router.post("/api/show")
async def show(body: ShowBody, request: Request) -> Response:
    """What a model can do. Clients look for `.Suffix` in its template."""
    served = named(request, body.model or body.name)
    infills = served.backend.form.layouts[0] is not Layout.CAUSAL
    return reply({
        "modelfile": "", "license": "", "parameters": "temperature 0", "details": _details(served),
        # Only its fields tell anything: prompts are laid out as ids, by the server.
        "template": "{{ .Prompt }}{{ .Suffix }}" if infills else "{{ .Prompt }}",
        "modified_at": SINCE, "capabilities": ["completion", *(["insert"] if infills else [])],
        "model_info": {
            "general.architecture": "llama",
            "llama.context_length": served.backend.context,
        },
    })  # fmt: skip


def _entry(served: Served) -> dict[str, Any]:
    name = served.name + LATEST
    return {
        "name": name,
        "model": name,
        "modified_at": SINCE,
        "size": 0,
        "digest": hashlib.sha256(served.name.encode()).hexdigest(),
        "details": _details(served),
    }


def _details(served: Served) -> dict[str, Any]:
    runner = getattr(served.backend, "runner", None)
    parameters = getattr(getattr(runner, "config", None), "parameters", None)
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": f"{parameters / 1e6:.3g}M" if parameters else "",
        "quantization_level": str(getattr(runner, "kind", "")),
    }
