"""The server's routes as a page that needs nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code{font-size:.95em}table{border-collapse:collapse;width:100%}"
    "td{padding:.3rem .8rem .3rem 0;border-top:1px solid #8884;vertical-align:top}"
)


def routes(api: dict[str, Any]) -> str:
    """An OpenAPI description as a page of HTML."""
    rows: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            what = escape(route.get("description") or route.get("summary", ""))
            row = f"<tr><td><code>{method.upper()} {escape(path)}</code><td>{what}"
            rows.setdefault(route.get("tags", ["server"])[0], []).append(row)
    body = "".join(
        f"<h2>{escape(tag)}</h2><table>{''.join(found)}</table>" for tag, found in rows.items()
    )
    name = f"{escape(api['info']['title'])} {escape(api['info']['version'])}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}: routes</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f'<h1>{name}</h1><p><a href="/">Playground</a> · fields and their ranges: '
        f'<a href="/openapi.json">openapi.json</a> · <a href="/metrics">metrics</a></p>{body}'
    )
