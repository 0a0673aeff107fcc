"""What llama.cpp's clients send, as what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from codegen25.errors import UserError
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.ask import MOST_EXTRA, Ask
from codegen25.serve.dialects.llama_cpp.body import Body
from codegen25.serve.languages import language_of_text
from codegen25.serve.prompts import encoded, infill_tokens, room_after
from codegen25.serve.served import Served

MOST_PROMPTS = 64
TEMPERATURE = 0.8
"""Of a completion whose request names none, as in llama.cpp."""


class Extra(f.Body):
    """A piece of another file."""

    text: f.Text = ""
    filename: f.Name = ""


class InfillBody(Body):
    """What stands around the cursor, and in other files."""

    input_prefix: f.Text = ""
    input_suffix: f.Text = ""
    prompt: f.Text = ""
    input_extra: Annotated[f.Items[Extra], Field(max_length=MOST_EXTRA)] = Field(
        default_factory=list
    )

    def ask(self, served: Served, owner: str) -> Ask:
        """The keystroke: `prompt`, the cursor's line so far, stands behind the last sentinel."""
        return Ask(
            self.input_prefix + self.prompt, self.input_suffix,
            max_tokens=infill_tokens(served, self.n_predict), sampling=self.sampling(0.0, 0),
            n=self.n_cmpl, stops=replace(Stops.editor(), strings=f.stops_of(self.stop)),
            typing=True, extra=tuple((each.filename, each.text) for each in self.input_extra),
            budget=self.budget, language=language_of_text(self.input_prefix + self.input_suffix),
            owner=owner,
        )  # fmt: skip


Prompt = Annotated[f.Text | f.Items[f.Id | f.Text | f.Items[f.Id | f.Text]], f.at_most(f.MAX_IDS)]


class CompletionBody(Body):
    """A text, ids, or both mixed; or a list of such prompts, each answered."""

    prompt: Prompt

    async def asks(self, served: Served, owner: str) -> list[Ask]:
        """What is to be continued."""
        found = []
        for parts in self._prompts():
            ids = await encoded(served, parts)
            found.append(Ask(
                ids=ids, max_tokens=room_after(served, ids, self.n_predict), n=self.n_cmpl,
                sampling=self.sampling(TEMPERATURE, f.seed_of(None)), budget=self.budget,
                stops=Stops(f.stops_of(self.stop)), owner=owner,
            ))  # fmt: skip
        return found

    def _prompts(self) -> list[Sequence[str | int]]:
        """Texts beside each other are prompts of their own; beside ids they are parts of one."""
        if isinstance(self.prompt, str):
            return [[self.prompt]]
        flat = [each for each in self.prompt if not isinstance(each, list)]
        if len(flat) == len(self.prompt) and any(isinstance(each, int) for each in flat):
            return [flat]
        if not 1 <= len(self.prompt) <= MOST_PROMPTS:
            raise UserError(f"prompt is a list of {len(self.prompt)}; it takes 1 to {MOST_PROMPTS}")
        return [each if isinstance(each, list) else [each] for each in self.prompt]
