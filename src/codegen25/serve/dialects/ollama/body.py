"""What Ollama's clients send, as what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from codegen25.errors import UserError
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.chat_template import STOP, Message, parts_of
from codegen25.serve.dialects.ollama.options import Options
from codegen25.serve.languages import language_of_text
from codegen25.serve.prompts import encoded, infill_tokens, room_after
from codegen25.serve.refused import Refused
from codegen25.serve.served import Served

MOST_MESSAGES = 1000


class Body(f.Body):
    """What both requests hold."""

    model: f.Name = ""
    stream: bool | None = None
    options: Options | None = None
    format: Refused = None

    @property
    def chosen(self) -> Options:
        """The options, or the usual ones."""
        return self.options or Options()

    async def continued(
        self, served: Served, parts: Sequence[str | int], owner: str, *stops: str
    ) -> Ask:
        """A prompt that goes on from left to right."""
        options = self.chosen
        ids = await encoded(served, parts)
        return Ask(
            ids=ids, max_tokens=room_after(served, ids, options.num_predict), owner=owner,
            sampling=options.sampling(), stops=Stops((*f.stops_of(options.stop), *stops)),
        )  # fmt: skip

    async def chat(self, served: Served, messages: Sequence[Message], owner: str) -> Ask:
        """Messages to be answered."""
        parts = parts_of(messages, served.backend.tokenizer)
        return await self.continued(served, parts, owner, STOP)


class GenerateBody(Body):
    """A prompt, and what stands behind the hole after it."""

    prompt: f.Text = ""
    suffix: f.Text | None = None
    system: f.Text | None = None
    raw: bool = False
    images: list[Any] | None = None

    def infill(self, served: Served, owner: str) -> Ask:
        """Somebody's keystroke, between `prompt` and `suffix`."""
        options = self.chosen
        return Ask(
            self.prompt, self.suffix or "", max_tokens=infill_tokens(served, options.num_predict),
            sampling=options.sampling(typing=True), typing=True, owner=owner,
            stops=replace(Stops.editor(), strings=f.stops_of(options.stop)),
            language=language_of_text(self.prompt + (self.suffix or "")),
        )  # fmt: skip

    async def ask(self, served: Served, owner: str, *, chats: bool) -> Ask:
        """What is asked: a hole, an instruction to a model that knows such, or to go on."""
        if self.images:
            raise UserError("images: this model reads text alone")
        if self.suffix:
            return self.infill(served, owner)
        if chats and not self.raw:
            system = [("system", self.system)] if self.system else []
            return await self.chat(served, [*system, ("user", self.prompt)], owner)
        return await self.continued(served, [self.prompt], owner)


class ChatMessage(f.Body):
    """Who says what."""

    role: f.Name
    content: f.Text = ""


class ChatBody(Body):
    """A conversation."""

    tools: Refused = None
    messages: Annotated[f.Items[ChatMessage], Field(max_length=MOST_MESSAGES)] = Field(
        default_factory=list
    )
