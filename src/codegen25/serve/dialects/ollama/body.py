"""What Ollama's clients send, as what is asked.

Greedy unless a temperature is given. Then a seed is drawn for want of one; an infill's is 0, for
somebody's keystrokes draw alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from codegen25.errors import UserError
from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.chat_template import STOP, Message, parts_of
from codegen25.serve.languages import language_of_text
from codegen25.serve.prompts import encoded, infill_tokens, room_after
from codegen25.serve.refused import Refused
from codegen25.serve.served import Served

MOST_MESSAGES = 1000


class Options(f.Body):
    """How to answer."""

    num_predict: Annotated[int, Field(ge=-2, le=f.MOST_TOKENS)] = -1
    temperature: f.Temperature = 0.0
    top_p: f.TopP = 0.9
    top_k: f.TopK = 40
    min_p: f.MinP = 0.0
    seed: f.Seed | None = None
    stop: f.Stop = None
    repeat_penalty: f.Repetition = 1.0
    presence_penalty: f.Penalty = 0.0
    frequency_penalty: f.Penalty = 0.0

    def sampling(self, *, typing: bool = False) -> Sampling:
        """How to draw."""
        seed = max(0, self.seed or 0) if typing else f.seed_of(self.seed)
        return Sampling(
            self.temperature, self.top_p, seed, max(0, self.top_k), self.min_p,
            self.repeat_penalty, self.presence_penalty, self.frequency_penalty,
        )  # fmt: skip


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
