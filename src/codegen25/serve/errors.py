"""What went wrong, as clients read it. No text of ours names a path, and none repeats code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from codegen25.errors import UserError
from codegen25.sample.request import BusyError, ClosedError
from codegen25.serve.refusals import UnavailableError, UnknownModelError, UnsupportedError
from codegen25.serve.reply import GoneError, reply
from codegen25.traced import traced

log = logging.getLogger("codegen25.serve")
RETRY_SECONDS = 1
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    431: "invalid_request_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


def shape(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object, which llama.cpp's clients read too."""
    kind = TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def said(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for an exception."""
    if isinstance(error, (BusyError, ClosedError, UnavailableError)):
        return 503, shape(503, str(error))
    if isinstance(error, UnsupportedError):
        return 501, shape(501, str(error))
    if isinstance(error, UnknownModelError):
        return 404, shape(404, str(error), "model")
    if isinstance(error, UserError):
        return 400, shape(400, str(error))
    if isinstance(error, RequestValidationError):
        return 400, shape(400, *_validation(error))
    if isinstance(error, HTTPException):
        return error.status_code, shape(error.status_code, str(error.detail))
    log.error("a request failed: %s", traced(error))
    return 500, shape(500, "the server failed at this request; its log says more")


async def answer(request: Request, error: Exception) -> Response:
    """The response to a request that raised."""
    if isinstance(error, GoneError):
        return Response(status_code=499)
    status, body = said(error)
    # A 405 says what is allowed.
    return refusal(request.url.path, status, body, getattr(error, "headers", None) or {})


def refusal(path: str, status: int, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
    """A fault as the clients of a path read it; a 503 says when to come again."""
    again = {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}
    if path.startswith("/api/"):  # Ollama's clients take a text
        body = {"error": body["error"]["message"]}
    return reply(body, status, {**headers, **again})


def _validation(error: RequestValidationError) -> tuple[str, str | None]:
    first = error.errors()[0]
    # A place within a union also names the types that were tried; those are no identifiers.
    place = [str(each) for each in first["loc"] if isinstance(each, int) or each.isidentifier()]
    where = ".".join(place).removeprefix("body").removeprefix(".")
    what = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return "the body is no JSON", None
    return (f"{where}: {what}" if where else what), where or None
