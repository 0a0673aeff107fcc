"""What the server offers an editor."""

from __future__ import annotations

from lsprotocol import types

from codegen25.models import cache_folder
from codegen25.serve.lsp.items import (
    ACCEPTED,
    DISMISSED,
    at_cursor,
    at_word,
    inline_item,
    listed_item,
)
from codegen25.serve.lsp.notes import Notes
from codegen25.serve.lsp.server import Server
from codegen25.serve.lsp.settings import Settings

TRIGGERS = [".", "(", "[", "=", " "]
"""Characters after which an editor without ghost text opens its list."""


def build(settings: Settings) -> Server:
    """A server for one editor, not yet started."""
    server = Server(settings, Notes(cache_folder() / "events.jsonl"))
    complaints: list[str] = []
    finished = False

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.settings, found = settings.updated(params.initialization_options)
        complaints.extend(found)
        document = params.capabilities.text_document
        if document is None or document.inline_completion is None:
            _offer_list(server)

    @server.feature(types.INITIALIZED)
    def initialized(_: types.InitializedParams) -> None:
        for complaint in complaints:
            server.say(complaint)
        server.load_engine()

    @server.feature(types.SHUTDOWN)
    def shutdown(_: None) -> None:
        nonlocal finished
        finished = True
        for uri in list(server.documents):
            server.closed(uri)

    @server.feature(types.EXIT)
    def leave(_: None) -> None:
        server.exit_code = 0 if finished else 1

    # Without the options object the capability would stay unset and no editor would ask.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline(params: types.InlineCompletionParams) -> list[types.InlineCompletionItem]:
        uri, context = params.text_document.uri, params.context
        if (document := server.documents.get(uri)) is None:
            return []
        place = at_cursor(document.text, params.position, context.selected_completion_info)
        automatic = context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
        found = await server.suggest(uri, place, automatic=automatic)
        return [] if found is None else [inline_item(place, *found)]

    @server.command(ACCEPTED)
    def accepted(number: int) -> None:
        server.notes.tell(number, "accepted")

    @server.command(DISMISSED)
    def dismissed(number: int) -> None:
        server.notes.tell(number, "dismissed")

    return server


def _offer_list(server: Server) -> None:
    """Suggestions in the completion list: only for an editor that has no ghost text."""

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=TRIGGERS)
    )
    async def listed(params: types.CompletionParams) -> types.CompletionList:
        uri, context = params.text_document.uri, params.context
        if (document := server.documents.get(uri)) is None:
            return types.CompletionList(is_incomplete=True, items=[])
        place = at_word(document.text, params.position)
        typed = context is not None and context.trigger_kind != types.CompletionTriggerKind.Invoked
        found = await server.suggest(uri, place, automatic=typed)
        items = [] if found is None else [listed_item(place, *found)]
        return types.CompletionList(is_incomplete=True, items=items)
