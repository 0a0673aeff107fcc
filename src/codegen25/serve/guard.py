"""Who may ask, and how much: checked before anything of a request is read or parsed.

The Host header is held against an allow-list, so that a web page can't reach a server on loopback
under a name of its own (DNS rebinding); keys are compared in constant time; bodies are bounded.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codegen25.serve.errors import said, shape
from codegen25.serve.metrics import Metrics
from codegen25.serve.reply import reply

LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN_PATHS = frozenset({"/", "/health", "/v1/health", "/favicon.ico"})
OPEN_FOLDER = "/playground/"
MAX_BODY = 4 << 20
MAX_DEPTH = 64
BODY_SECONDS = 30.0


@dataclass(frozen=True)
class Rules:
    """Which hosts the server answers to, and for which keys; without keys everybody may ask."""

    hosts: frozenset[str]
    keys: tuple[str, ...] = ()
    max_body: int = MAX_BODY

    @classmethod
    def of(cls, bind: str, hosts: Collection[str], keys: Sequence[str]) -> Rules:
        """The rules of a server bound to an address, for whom further host names are allowed."""
        names = {*LOOPBACK, *hosts}
        if bind not in ("0.0.0.0", "::"):
            names.add(bind)
        return cls(frozenset(name.lower() for name in names), tuple(keys))

    def host_is_known(self, header: str) -> bool:
        """Whether a Host header, with or without a port, names this server."""
        if "*" in self.hosts:
            return True
        try:
            name = urlsplit(f"//{header}").hostname
        except ValueError:
            return False
        return name is not None and name.lower().rstrip(".") in self.hosts

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
    """ASGI: lets through what the rules allow, with its body whole."""

    def __init__(self, app: ASGIApp, rules: Rules, metrics: Metrics) -> None:
        self.app, self.rules, self.metrics = app, rules, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 499

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"], (b"x-content-type-options", b"nosniff"),
                    (b"openai-processing-ms", b"%d" % (1000 * (time.perf_counter() - begun))),
                ]  # fmt: skip
            await send(message)

        try:
            await self._checked(scope, receive, note)
        except Exception as error:
            if status != 499:
                raise
            code, body = said(error)
            await reply(body, code)(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requested(route, status, time.perf_counter() - begun)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self.rules.host_is_known(headers.get(b"host", "")):
            what = "the Host header names another server; allow it with --allow-host"
            return await self._refuse(403, what, scope, receive, send)
        origin = headers.get(b"origin")
        if origin is not None and not self.rules.host_is_known(urlsplit(origin).netloc):
            what = "a web page of another place asks; its server may be allowed with --allow-host"
            return await self._refuse(403, what, scope, receive, send)
        owner = self.rules.owner(_key(headers))
        path = scope["path"]
        if owner is None and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
            return await self._refuse(401, "the API key is missing or wrong", scope, receive, send)
        scope["owner"] = owner or ""
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > self.rules.max_body:
            return await self._refuse(413, self._too_large(), scope, receive, send)
        if origin is None:  # no web page: curl says that JSON is a form unless it is told
            scope["headers"] = _as_json(scope["headers"])
        if scope["method"] in ("GET", "HEAD"):
            return await self.app(scope, receive, send)
        body = await self._body(receive)
        if body is None:
            return await self._refuse(413, self._too_large(), scope, receive, send)
        if depth(body) > MAX_DEPTH:
            what = f"the body is nested more than {MAX_DEPTH} deep"
            return await self._refuse(400, what, scope, receive, send)
        return await self.app(scope, _replayed(body, receive), send)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body, None when it is too large."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            size += len(part)
            if size > self.rules.max_body:
                return None
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> str:
        return f"the body is larger than {self.rules.max_body >> 20} MiB"

    @staticmethod
    async def _refuse(status: int, what: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        await reply(shape(status, what), status, headers)(scope, receive, send)


def _as_json(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [each for each in headers if each[0] != b"content-type"]
    return [*kept, (b"content-type", b"application/json")]


def _key(headers: dict[bytes, str]) -> str:
    given = headers.get(b"authorization", "")
    if given[:7].lower() == "bearer ":
        return given[7:].strip()
    return headers.get(b"x-api-key", headers.get(b"api-key", ""))


def depth(body: bytes) -> int:
    """How deep JSON text is nested at most; text that is no JSON has a depth too."""
    if (
        max(body.count(b"["), body.count(b"{")) + min(body.count(b"["), body.count(b"{"))
        < MAX_DEPTH
    ):
        return 0
    deepest = now = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif byte in b"]}":
            now -= 1
    return deepest


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
