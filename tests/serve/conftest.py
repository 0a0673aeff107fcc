"""A real server with the shipped model, on loopback, for all tests of the HTTP side."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from serving import Running, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client
