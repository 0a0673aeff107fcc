"""A keystroke as Tabby's clients tell it, and its completion."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.accepted import Shown, key
from codegen25.serve.ask import MOST_EXTRA, Ask
from codegen25.serve.languages import language_named, language_of
from codegen25.serve.prompts import infill_tokens
from codegen25.serve.reply import reply, while_there

MAX_TOKENS = 64
"""Of an answer, as in Tabby."""


class Snippet(f.Body):
    """A piece of another file."""

    filepath: f.Name = ""
    body: f.Text = ""


Snippets = Annotated[f.Items[Snippet], Field(max_length=MOST_EXTRA)]


class Segments(f.Body):
    """What stands around the cursor, and what a client thinks is related."""

    prefix: f.Text
    suffix: f.Text | None = None
    filepath: f.Name | None = None
    declarations: Snippets | None = None
    relevant_snippets_from_changed_files: Snippets | None = None
    relevant_snippets_from_recently_opened_files: Snippets | None = None
    clipboard: f.Text | None = None

    @property
    def extra(self) -> tuple[tuple[str, str], ...]:
        """Other texts by path, the most telling first."""
        snippets = [
            *(self.declarations or ()),
            *(self.relevant_snippets_from_changed_files or ()),
            *(self.relevant_snippets_from_recently_opened_files or ()),
        ]
        found = [(each.filepath, each.body) for each in snippets]
        found += [("clipboard", self.clipboard)] if self.clipboard else []
        return tuple(found[:MOST_EXTRA])


class TabbyBody(f.Body):
    """The request for a completion."""

    language: Annotated[str, Field(max_length=40)] | None = None
    segments: Segments
    model: f.Name | None = None
    temperature: f.Temperature | None = None
    seed: f.Seed | None = None
    mode: f.Name | None = None


async def completions(body: TabbyBody, request: Request) -> Response:
    """Fill in between a prefix and a suffix."""
    service, served = f.service_of(request), f.served_or_default(request, body.model)
    segments, language = body.segments, language_named(body.language)
    if body.language is None:
        language = language_of(segments.filepath)
    ask = Ask(
        segments.prefix, segments.suffix or "", max_tokens=infill_tokens(served, MAX_TOKENS),
        sampling=Sampling(body.temperature or 0.0, seed=max(0, body.seed or 0)),
        stops=Stops.editor(), typing=True, extra=segments.extra, language=language,
        owner=f.owner_of(request),
    )  # fmt: skip
    [found] = await while_there(request.receive, service.answers(served, ask))
    name = f"cmpl-{uuid.uuid4()}"
    shown = Shown(ask.prefix, found.text, ask.suffix or "", language)
    service.events.show(key(ask.owner, name), shown)
    choices = [{"index": 0, "text": found.text}] if found.text else []
    return reply({"id": name, "choices": choices, "mode": body.mode or "standard"})
