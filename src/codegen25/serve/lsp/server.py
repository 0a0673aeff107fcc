"""The server of one editor: its documents, and an answer for every cursor in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import FeatureRequestError
from pygls.lsp.server import LanguageServer

from codegen25 import __version__
from codegen25.errors import UserError
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.session import Options
from codegen25.serve.lsp.asking import Asking
from codegen25.serve.lsp.items import Place, shown
from codegen25.serve.lsp.languages import language
from codegen25.serve.lsp.loading import aside, load
from codegen25.serve.lsp.notes import Notes
from codegen25.serve.lsp.protocol import Protocol
from codegen25.serve.lsp.settings import Settings
from codegen25.serve.lsp.text import Text

if TYPE_CHECKING:
    from pygls.server import ServerErrors

PAUSE = 0.05
"""Seconds after an answer until idle time begins."""
PATIENCE = 4
"""So many times the budget has a suggestion that was asked for."""
log = logging.getLogger(__name__)


@dataclass
class Document:
    """An open document; its session begins with the first request."""

    text: Text
    language: str
    asking: Asking | None = None


class Server(LanguageServer):
    """Answers one editor. Until the engine is loaded the answers are empty."""

    def __init__(self, settings: Settings, notes: Notes) -> None:
        super().__init__("codegen25", __version__, protocol_cls=Protocol)
        self.settings, self.notes = settings, notes
        self.engine: Engine | None = None
        self.exit_code = 0
        """Of the process; 1 when the editor said `exit` without `shutdown`."""
        self.documents: dict[str, Document] = {}
        self._said: set[str] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    def say(self, message: str) -> None:
        """Show the user what is wrong, once."""
        if message not in self._said:
            self._said.add(message)
            self.window_show_message(
                types.ShowMessageParams(types.MessageType.Error, f"codegen25: {message}")
            )

    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Of pygls: something broke. Its name is shown and no more: the rest may quote code."""
        if source is not FeatureRequestError:  # a request has its answer
            self.say(f"internal error ({type(error).__name__})")

    # ---------------------------------------------------------------------------------- documents

    def opened(self, item: types.TextDocumentItem) -> None:
        """A document came into the editor."""
        text = Text(item.text, self.workspace.position_encoding or "utf-16")
        self.documents[item.uri] = Document(text, language(item.language_id))

    def changed(self, uri: str, changes: list[types.TextDocumentContentChangeEvent]) -> None:
        """Edits, in their order; one without a range is the whole text."""
        if (document := self.documents.get(uri)) is not None:
            for change in changes:
                where = getattr(change, "range", None)
                document.text = document.text.replace(where, change.text)

    def closed(self, uri: str) -> None:
        """A document left the editor."""
        if (document := self.documents.pop(uri, None)) is not None:
            self.notes.leave(uri, document.text.unix)
            if document.asking is not None:
                document.asking.close()

    # ---------------------------------------------------------------------------------- answering

    async def suggest(self, uri: str, place: Place, *, automatic: bool) -> tuple[str, int] | None:
        """The text for a place and the suggestion's number, if there is one worth showing."""
        document = self.documents.get(uri)
        if document is None or self.engine is None:
            return None
        if automatic and place.crowded:
            if document.asking is not None:
                document.asking.close()
            self.notes.leave(uri, place.prefix)
            return None
        try:
            if document.asking is None:
                options = Options(
                    self.settings.max_tokens, Sampling(sure=self.settings.sure),
                    language=document.language,
                )  # fmt: skip
                document.asking = Asking(self.engine, options)
            return await self._answer(uri, document, document.asking, place, automatic)
        except UserError as error:
            self.say(str(error))
            return None

    async def _answer(
        self, uri: str, document: Document, asking: Asking, place: Place, automatic: bool
    ) -> tuple[str, int] | None:
        start = time.perf_counter()
        completion = await asking.answer(
            place.prefix,
            place.suffix,
            budget=self.settings.budget_ms / 1000 * (1 if automatic else PATIENCE),
            single_line=not self.settings.multi_line or bool(place.rest.strip()),
        )
        if completion is None:
            return None
        self._idle_soon(uri, document, place)
        text, ms = shown(completion, place), 1000 * (time.perf_counter() - start)
        log.info("%d characters in %.1f ms (%s)", len(text), ms, completion.rule)
        if not text:
            self.notes.leave(uri, place.prefix)
            return None
        return text, self.notes.show(uri, document.language, place.prefix, place.suffix, text, ms)

    def _idle_soon(self, uri: str, document: Document, place: Place) -> None:
        def idle() -> None:
            if self.documents.get(uri) is document and document.asking is not None:
                with contextlib.suppress(UserError):  # the next request will say it
                    document.asking.prefetch(place.prefix, place.suffix)

        asyncio.get_running_loop().call_later(PAUSE, idle)

    # ------------------------------------------------------------------------------------ loading

    def load_engine(self) -> None:
        """Begin to load, and show that."""
        loading = asyncio.ensure_future(aside(lambda: load(self.settings)))
        for work in (self._take(loading), self._show(loading)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, loading: asyncio.Future[Engine]) -> None:
        try:
            self.engine = await loading
        except UserError as error:
            self.say(str(error))
        except Exception as error:
            self.say(f"the model {self.settings.model} cannot be loaded: {error!r}")

    async def _show(self, loading: asyncio.Future[Engine]) -> None:
        """Progress in the editor's window, where it has such."""
        window = self.client_capabilities.window
        if window is None or not window.work_done_progress:
            return
        progress, token = self.work_done_progress, "codegen25/load"
        await progress.create_async(token)
        begin = types.WorkDoneProgressBegin(
            title="codegen25", message=f"loading the model {self.settings.model}"
        )
        progress.begin(token, begin)
        await asyncio.wait({loading})
        engine = self.engine
        message = "no model" if engine is None else f"ready ({engine.runner.kind} weights)"
        progress.end(token, types.WorkDoneProgressEnd(message=message))
