"""Who may ask, and how much: checked before anything of a request is read or parsed.

Hosts and keys are `rules`'; headers and bodies are bounded, in bytes and in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codegen25.serve.body import Held, RefusedError, fault, replayed, too_large, whole
from codegen25.serve.connection import OPEN
from codegen25.serve.errors import refusal, said, shape
from codegen25.serve.metrics import Metrics
from codegen25.serve.reply import ENDING
from codegen25.serve.rules import Rules, key_of

HEALTH = "/v1/health"
OPEN_PATHS = frozenset({"/", "/health", HEALTH, "/favicon.ico"})
"""Read without a key; Tabby's agents also post to its health, with and without one."""
OPEN_FOLDER = "/playground/"
READING = ("GET", "HEAD")
METHODS = (*READING, "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
MAX_HEADERS = 32 << 10
MAX_HEALTH_BODY = 1000
BODY_SECONDS = 30.0
"""A body must be whole within so long."""
MOST_CONNECTIONS = 1000
"""Open ones, and requests under way; who comes beyond is told to come again."""
UNBOUND = "/health"
"""Answered however many there are."""


CLOSE = {"connection": "close"}
REFUSED = {401: {"www-authenticate": "Bearer"}, 408: CLOSE, 503: CLOSE}
"""Headers of refusals, by status."""


class Guard:
    """ASGI: lets through what the rules allow, with its body whole. `tell` gets a line about every
    request, without anything that a client wrote."""

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        metrics: Metrics,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.app, self.rules, self.metrics, self.tell = app, rules, metrics, tell
        self._under_way, self._held = 0, Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun, status, sent = time.perf_counter(), 499, 0

        async def note(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"], (b"x-content-type-options", b"nosniff"),
                    (b"openai-processing-ms", b"%d" % (1000 * (time.perf_counter() - begun))),
                ]  # fmt: skip
            sent += len(message.get("body", b""))
            await send(message)

        self._under_way += 1
        try:
            await self._checked(scope, receive, note)
        except asyncio.CancelledError:  # the grace is over; of what has begun see `reply.Stream`
            if status != 499:
                raise
            await _refuse(RefusedError(503, ENDING), scope, receive, note)
        except Exception as error:
            code, body = said(error)  # which logs it; uvicorn would, with what it says
            if status == 499:
                await refusal(scope["path"], code, body, {})(scope, receive, note)
        finally:
            self._under_way -= 1
            self._note(scope, status, time.perf_counter() - begun, sent)

    def _note(self, scope: Scope, status: int, seconds: float, sent: int) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requested(route, status, seconds)
        if self.tell is not None:
            method = scope["method"] if scope["method"] in METHODS else "?"
            read = scope.get("codegen25.read", 0)
            self.tell(f"{method} {route} {status} {1000 * seconds:.1f} ms {read} in {sent} out")

    def _is_full(self, scope: Scope) -> bool:
        """Whether there are too many already, this one included."""
        connections = len(scope.get("state", {}).get(OPEN, ()))
        return max(connections, self._under_way) > MOST_CONNECTIONS

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held.share() as take:
            try:
                most = self._admit(scope)
                if scope["method"] not in READING:
                    receive = await _read(scope, receive, most, take)
            except RefusedError as error:
                return await _refuse(error, scope, receive, send)
            return await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> int:
        """How many bytes a request's body may have; its head is all right then."""
        if scope["path"] != UNBOUND and self._is_full(scope):
            what = f"{MOST_CONNECTIONS} connections are open; ask again in a second"
            raise RefusedError(503, what)
        if _size(scope) > MAX_HEADERS:
            raise RefusedError(431, f"the headers are larger than {MAX_HEADERS >> 10} KiB")
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self.rules.host_is_known(host):
            what = "the Host header names another server; allow it with --allow-host"
            raise RefusedError(403, what)
        if origin is not None and not self.rules.origin_is_known(origin, host):
            what = "a web page of another place asks; its server may be allowed with --allow-host"
            raise RefusedError(403, what)
        owner = self.rules.owner(key_of(headers))
        if owner is None and not _is_open(scope):
            raise RefusedError(401, "the API key is missing or wrong")
        scope["owner"] = owner or ""
        if origin is None:  # no web page: curl says that JSON is a form unless it is told
            scope["headers"] = _as_json(scope["headers"])
        most = MAX_HEALTH_BODY if scope["path"] == HEALTH else self.rules.max_body
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > most:
            raise RefusedError(413, too_large(most))
        return most


async def _read(scope: Scope, receive: Receive, most: int, take: Callable[[int], None]) -> Receive:
    """What gives the whole body again, once it is there and looks well."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await whole(receive, most, take)
    except TimeoutError:
        what = f"the body was not there within {BODY_SECONDS:g} seconds"
        raise RefusedError(408, what) from None
    scope["codegen25.read"] = len(body)
    if (what_is_wrong := fault(body)) is not None:
        raise RefusedError(400, what_is_wrong)
    return replayed(body, receive)


async def _refuse(error: RefusedError, scope: Scope, receive: Receive, send: Send) -> None:
    headers, body = REFUSED.get(error.status, {}), shape(error.status, error.what)
    await refusal(scope["path"], error.status, body, headers)(scope, receive, send)


def _is_open(scope: Scope) -> bool:
    """Whether a request needs no key."""
    path, method = scope["path"], scope["method"]
    if method in READING:
        return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
    return bool(path == HEALTH and method == "POST")


def _size(scope: Scope) -> int:
    """Bytes of a request's head, about."""
    names = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return names + len(scope["path"]) + len(scope["query_string"])


def _as_json(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [each for each in headers if each[0] != b"content-type"]
    return [*kept, (b"content-type", b"application/json")]
