"""`codegen25 lsp` in a process of its own, driven by pytest-lsp with the capabilities of
VS Code, Neovim and Emacs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("pytest_lsp", reason="make test-clients installs pytest-lsp")

import pytest_lsp
from lsprotocol import types
from pytest_lsp import LanguageClient

pytestmark = pytest.mark.clients
URI = "file:///stack.py"
TEXT = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items."""
END = types.Position(5, len("        self.items."))
SECONDS = 60


@pytest_lsp.fixture(
    params=["visual-studio-code", "neovim", "emacs"],
    config=pytest_lsp.ClientServerConfig(
        server_command=[sys.executable, "-m", "codegen25", "lsp"], server_env=dict(os.environ)
    ),
)
async def client(request: pytest.FixtureRequest, lsp_client: LanguageClient) -> AsyncIterator[None]:
    """An editor that has opened the file; at the end it shuts the server down."""
    capabilities = pytest_lsp.client_capabilities(request.param)
    await lsp_client.initialize_session(types.InitializeParams(capabilities=capabilities))
    opened = types.TextDocumentItem(URI, "python", 1, TEXT)
    lsp_client.text_document_did_open(types.DidOpenTextDocumentParams(opened))
    yield
    await lsp_client.shutdown_session()


@pytest.mark.asyncio
async def test_both_ways_of_asking_give_a_suggestion(client: LanguageClient) -> None:
    document = types.TextDocumentIdentifier(URI)
    context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
    inline = types.InlineCompletionParams(context, document, END)
    async with asyncio.timeout(SECONDS):
        while not (found := _items(await client.text_document_inline_completion_async(inline))):
            await asyncio.sleep(0.1)  # the model is loading
    text = str(found[0].insert_text)
    assert text.strip() and found[0].command.command == "codegen25.accepted"
    listed = types.CompletionParams(document, END)
    [entry] = _items(await client.text_document_completion_async(listed))
    assert entry.preselect and entry.text_edit.new_text.strip()
    assert not client.messages  # nothing was wrong


def _items(answer: Any) -> list[Any]:
    return list(getattr(answer, "items", answer) or ())
