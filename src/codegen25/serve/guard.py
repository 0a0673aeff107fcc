"""Who may ask, and how much: checked before anything of a request is read or parsed.

The Host header is held against an allow-list, so that a web page can't reach a server on loopback
under a name of its own (DNS rebinding); keys are compared in constant time; headers and bodies are
bounded, in bytes and in time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codegen25.serve.connection import OPEN
from codegen25.serve.errors import refusal, said, shape
from codegen25.serve.metrics import Metrics
from codegen25.serve.reply import ENDING

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEALTH = "/v1/health"
OPEN_PATHS = frozenset({"/", "/health", HEALTH, "/favicon.ico"})
"""Read without a key; Tabby's agents also post to its health, with and without one."""
OPEN_FOLDER = "/playground/"
READING = ("GET", "HEAD")
METHODS = (*READING, "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
MAX_HEADERS = 32 << 10
MAX_BODY = 4 << 20
MAX_HEALTH_BODY = 1000
MAX_DEPTH = 64
BODY_SECONDS = 30.0
"""A body must be whole within so long."""
MOST_CONNECTIONS = 1000
"""Open ones, and requests under way; who comes beyond is told to come again."""
UNBOUND = "/health"
"""Answered however many there are."""


CLOSE = {"connection": "close"}
REFUSED = {401: {"www-authenticate": "Bearer"}, 408: CLOSE, 503: CLOSE}
"""Headers of refusals, by status."""


@dataclass(frozen=True)
class Rules:
    """Which hosts the server answers to, and for which keys; without keys everybody may ask.

    `addresses`: any IP address is a name of this server. A page can't make a browser send an
    address that it did not connect to, so this opens no way to DNS rebinding.
    """

    hosts: frozenset[str]
    keys: tuple[str, ...] = ()
    max_body: int = MAX_BODY
    addresses: bool = False

    @classmethod
    def of(cls, bind: str, hosts: Collection[str], keys: Sequence[str]) -> Rules:
        """The rules of a server bound to an address, for whom further host names are allowed.

        One bound to all of the machine's addresses is known by any of them.
        """
        everywhere = bind in ("0.0.0.0", "::")
        names = {*LOOPBACK, *hosts, *(() if everywhere else (bind,))}
        return cls(frozenset(map(str.lower, names)), tuple(keys), addresses=everywhere)

    def host_is_known(self, header: str) -> bool:
        """Whether a Host header, with or without a port, names this server."""
        name = _name(header)
        return self._is_listed(name) or (self.addresses and _is_address(name))

    def origin_is_known(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may ask a server that it calls `host`.

        An address that nobody listed counts only if page and server have the same.
        """
        try:
            name = _name(urlsplit(origin).netloc)
        except ValueError:
            return self._is_listed("")
        return self._is_listed(name) or (
            self.addresses and _is_address(name) and name == _name(host)
        )

    def _is_listed(self, name: str) -> bool:
        return name in self.hosts or "*" in self.hosts

    def owner(self, key: str) -> str | None:
        """Who asks, by a key: a name for the owner's share of the cache, None if it is refused."""
        if not self.keys:
            return ""
        given = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = None
        for each in self.keys:  # all of them, whichever matches: the time tells nothing
            if hmac.compare_digest(hashlib.sha256(each.encode()).digest(), given):
                found = hashlib.sha256(b"owner" + given).hexdigest()[:16]
        return found


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
        self._under_way = 0

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
            await self._refuse(503, ENDING, scope, receive, note)
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
        if scope["path"] != UNBOUND and self._is_full(scope):
            what = f"{MOST_CONNECTIONS} connections are open; ask again in a second"
            return await self._refuse(503, what, scope, receive, send)
        if _size(scope) > MAX_HEADERS:
            what = f"the headers are larger than {MAX_HEADERS >> 10} KiB"
            return await self._refuse(431, what, scope, receive, send)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self.rules.host_is_known(host):
            what = "the Host header names another server; allow it with --allow-host"
            return await self._refuse(403, what, scope, receive, send)
        origin = headers.get(b"origin")
        if origin is not None and not self.rules.origin_is_known(origin, host):
            what = "a web page of another place asks; its server may be allowed with --allow-host"
            return await self._refuse(403, what, scope, receive, send)
        owner = self.rules.owner(_key(headers))
        if owner is None and not _is_open(scope):
            return await self._refuse(401, "the API key is missing or wrong", scope, receive, send)
        scope["owner"] = owner or ""
        if origin is None:  # no web page: curl says that JSON is a form unless it is told
            scope["headers"] = _as_json(scope["headers"])
        most = MAX_HEALTH_BODY if scope["path"] == HEALTH else self.rules.max_body
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > most:
            return await self._refuse(413, _too_large(most), scope, receive, send)
        if scope["method"] in READING:
            return await self.app(scope, receive, send)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive, most)
        except TimeoutError:
            what = f"the body was not there within {BODY_SECONDS:g} seconds"
            return await self._refuse(408, what, scope, receive, send)
        if body is None:
            return await self._refuse(413, _too_large(most), scope, receive, send)
        scope["codegen25.read"] = len(body)
        if depth(body) > MAX_DEPTH:
            what = f"the body is nested more than {MAX_DEPTH} deep"
            return await self._refuse(400, what, scope, receive, send)
        return await self.app(scope, _replayed(body, receive), send)

    @staticmethod
    async def _refuse(status: int, what: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = REFUSED.get(status, {})
        await refusal(scope["path"], status, shape(status, what), headers)(scope, receive, send)


def _name(header: str) -> str:
    """The host that a header names, as it is compared; nothing if it names none."""
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return ""
    return (name or "").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        return not ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


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


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body, None when it is larger than `most` bytes."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(most: int) -> str:
    size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most} bytes"
    return f"the body is larger than {size}"


def _as_json(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [each for each in headers if each[0] != b"content-type"]
    return [*kept, (b"content-type", b"application/json")]


def _key(headers: dict[bytes, str]) -> str:
    given = headers.get(b"authorization", "")
    if given[:7].lower() == "bearer ":
        return given[7:].strip()
    return headers.get(b"x-api-key", headers.get(b"api-key", ""))


_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def depth(body: bytes) -> int:
    """How deep JSON text is nested at most, 0 if it is less than `MAX_DEPTH` for sure.

    Text that is no JSON has a depth too: that of what stands before its first fault, at least. The
    work is done by passes over bytes, for code is full of brackets, and event loops are shared.
    """
    if body.count(b"[") + body.count(b"{") < MAX_DEPTH:
        return 0
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # a quote now begins or ends a string
    outside = b"".join(bare.split(b'"')[::2])
    steps = np.frombuffer(outside.translate(_STEPS, _NO_BRACKETS), np.int8)
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever else the client does."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again
