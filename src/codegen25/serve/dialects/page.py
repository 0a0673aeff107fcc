"""The playground at `/`, and a page of the server's routes at `/docs`. Nothing is loaded from
elsewhere, and no request names a file: what is served was listed at the start."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from codegen25.serve.api_page import routes

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
STYLED = POLICY + "; style-src 'self' 'unsafe-inline'"
"""For a page that is one file."""
TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png",
    ".json": "application/json", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2",
}  # fmt: skip
router = APIRouter()


@dataclass(frozen=True)
class File:
    """A file of the page, in memory."""

    data: bytes
    kind: str

    @property
    def tag(self) -> str:
        """Its ETag."""
        return f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'


@cache
def page(folder: Path | None = None) -> dict[str, File]:
    """The page's files by name."""
    folder = folder or Path(str(files("codegen25.serve"))) / "playground"
    if not folder.is_dir():
        return {}
    return {
        path.name: File(path.read_bytes(), TYPES[path.suffix])
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in TYPES
    }


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def index(request: Request) -> Response:
    """The playground."""
    return _sent(request, "index.html")


@router.api_route("/playground/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def file(name: str, request: Request) -> Response:
    """A file of the playground."""
    return _sent(request, name)


@router.api_route("/favicon.ico", methods=["GET", "HEAD"], include_in_schema=False)
async def icon(request: Request) -> Response:
    """What a browser asks for unbidden."""
    return _sent(request, "icon.svg")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The routes of this server."""
    found = File(routes(request.app.openapi()).encode(), TYPES[".html"])
    return _answer(request, found, STYLED)


def _sent(request: Request, name: str) -> Response:
    found = page().get(name)
    if found is None:
        what = "this installation has no playground" if not page() else "the page has no such file"
        raise HTTPException(404, what)
    return _answer(request, found)


def _answer(request: Request, found: File, policy: str = POLICY) -> Response:
    """The file, or 304 for who has it; a newer server's files are taken at once."""
    headers = {
        "etag": found.tag, "cache-control": "no-cache", "content-security-policy": policy,
        "referrer-policy": "no-referrer",
    }  # fmt: skip
    known = {each.strip().removeprefix("W/") for each in _matches(request).split(",")}
    if found.tag in known:
        return Response(status_code=304, headers=headers)
    return Response(found.data, headers=headers, media_type=found.kind)


def _matches(request: Request) -> str:
    return request.headers.get("if-none-match", "")
