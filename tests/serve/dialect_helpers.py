"""What real clients sent, and reading what they got."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

REQUESTS = Path(__file__).parent / "requests"
"""Bodies of the named client, with texts of our own."""
PREFIX = "import math\n\n\ndef area(radius):\n    return ma"
SUFFIX = "\n\n\nprint(area(2))\n"


def recorded(name: str, **changed: object) -> dict[str, Any]:
    """A client's request, with some fields changed."""
    return json.loads((REQUESTS / f"{name}.json").read_text()) | changed


def asked(client: httpx.Client, path: str, body: object, status: int = 200) -> Any:
    """The JSON of an answer."""
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def events(response: httpx.Response) -> list[Any]:
    """The data of server-sent events, `[DONE]` as text."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [each.removeprefix("data: ") for each in response.text.split("\n\n") if each]
    return [each if each == "[DONE]" else json.loads(each) for each in lines]


def lines(response: httpx.Response) -> list[Any]:
    """The objects of newline-delimited JSON."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(each) for each in response.text.splitlines()]
