"""The HTTP server: dialects over one service, behind a guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from codegen25 import __version__
from codegen25.errors import UserError
from codegen25.serve import errors
from codegen25.serve.guard import Guard
from codegen25.serve.refusals import UnavailableError
from codegen25.serve.reply import GoneError, reply
from codegen25.serve.rules import Rules
from codegen25.serve.service import Service

DIALECTS = ("openai", "chat", "llama_cpp", "tabby", "ollama", "copilot", "mistral", "page")
"""Modules of `serve.dialects`, each with a `router`."""
ANSWERS = {
    400: "wrong", 401: "no key", 403: "wrong host", 404: "not here", 408: "too slow",
    413: "too large", 431: "headers too large", 501: "not by this model", 503: "busy or loading",
}  # fmt: skip


class Fault(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: int


class FaultBody(BaseModel):
    """The body of every answer that is none."""

    error: Fault


def build(
    service: Service,
    rules: Rules,
    at_end: Callable[[], None] | None = None,
    tell: Callable[[str], None] | None = None,
    at_start: Callable[[], None] | None = None,
) -> FastAPI:
    """The app of a service, whose models are loaded in a thread once the server is up.

    `at_start` is called when they answer, `at_end` when they could not be loaded, `tell` with a
    line about every request.
    """
    app = FastAPI(
        title="codegen25", version=__version__, lifespan=_lifespan(service, at_start, at_end),
        docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        responses={
            status: {"model": FaultBody, "description": what} for status, what in ANSWERS.items()
        },
    )  # fmt: skip
    app.state.service = service
    for name in DIALECTS:
        app.include_router(import_module(f"codegen25.serve.dialects.{name}").router)
    for kind in (UserError, RequestValidationError, HTTPException, GoneError):
        app.add_exception_handler(kind, errors.answer)
    app.get("/health", tags=["server"])(_health)
    app.get("/metrics", tags=["server"], response_class=Response)(_metrics)
    app.add_middleware(Guard, rules=rules, metrics=service.metrics, tell=tell)
    return app


def _lifespan(
    service: Service, at_start: Callable[[], None] | None, at_end: Callable[[], None] | None
) -> Any:
    def load() -> None:
        try:
            service.load()
            if at_start is not None:
                at_start()
        except Exception:
            if at_end is None:
                raise
            at_end()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = None if service.ready else asyncio.create_task(asyncio.to_thread(load))
        try:
            yield
        finally:
            if loading is not None:
                await asyncio.gather(loading, return_exceptions=True)
            await asyncio.to_thread(service.close)  # who was broken off is told so meanwhile

    return lifespan


async def _health(request: Request) -> Response:
    """Whether the server answers: 200, or 503 while the model loads."""
    service: Service = request.app.state.service
    if not service.ready:
        raise UnavailableError("the model is loading")
    return reply({"status": "ok"})


async def _metrics(request: Request) -> Response:
    """Counts and times for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.measured(), media_type="text/plain; version=0.0.4; charset=utf-8")
