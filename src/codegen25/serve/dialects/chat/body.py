"""What chat clients send, as what is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.chat_template import STOP, parts_of
from codegen25.serve.dialects.openai_body import StreamOptions
from codegen25.serve.prompts import encoded, room_after
from codegen25.serve.refused import Tooled
from codegen25.serve.served import Served

MOST_MESSAGES = 1000


class Part(f.Body):
    """A piece of a message; only text can be read."""

    type: Literal["text"]
    text: f.Text


class Message(f.Body):
    """Who says what."""

    role: f.Name
    content: f.Text | Annotated[f.Items[Part], Field(max_length=MOST_MESSAGES)] | None = None

    @property
    def said(self) -> tuple[str, str]:
        """Role and text."""
        if isinstance(self.content, str):
            return self.role, self.content
        return self.role, "".join(part.text for part in self.content or ())


class ChatBody(Tooled):
    """The request."""

    model: f.Name | None = None
    messages: Annotated[f.Items[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: f.Tokens | None = None
    max_completion_tokens: f.Tokens | None = None
    temperature: f.Temperature | None = None
    top_p: f.TopP | None = None
    n: f.Count | None = None
    stop: f.Stop = None
    seed: f.Seed | None = None
    logprobs: bool | None = False
    top_logprobs: f.Logprobs | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    presence_penalty: f.Penalty | None = None
    frequency_penalty: f.Penalty | None = None
    logit_bias: f.Bias | None = None

    async def ask(self, served: Served, owner: str) -> Ask:
        """The question to the model."""
        said = [message.said for message in self.messages]
        ids = await encoded(served, parts_of(said, served.backend.tokenizer))
        wanted = self.max_tokens if self.max_completion_tokens is None else (
            self.max_completion_tokens
        )  # fmt: skip
        sampling = Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p, seed=f.seed_of(self.seed),
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0, logit_bias=f.bias_of(self.logit_bias),
            logprobs=max(1, self.top_logprobs or 0) if self.logprobs else 0,
        )  # fmt: skip
        return Ask(
            ids=ids, max_tokens=room_after(served, ids, wanted), n=self.n or 1, sampling=sampling,
            stops=Stops((*f.stops_of(self.stop), STOP)), owner=owner,
        )  # fmt: skip
