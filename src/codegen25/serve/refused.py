"""Options that would change what an answer means and that no model here heeds.

They are refused by name: who asks for JSON or for tools must not take what comes for that. What
says that an option is not used (null, false, nothing in it) passes, as clients send it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field

from codegen25.serve import fields as f


def unless(passes: Callable[[object], bool]) -> BeforeValidator:
    """Refuses what is neither empty nor `passes`."""

    def checked(value: object) -> None:
        if value not in (None, False, "", [], {}) and not passes(value):
            raise ValueError("this server can't do that; leave it out")

    return BeforeValidator(checked)


def _is_text(format_: object) -> bool:
    return isinstance(format_, dict) and format_.get("type") in (None, "text")


Refused = Annotated[None, unless(lambda _: False)]
Format = Annotated[None, unless(_is_text), Field(description="of type text alone")]
Choice = Annotated[None, unless(lambda choice: choice in ("none", "auto")), Field(
    description="none or auto alone"
)]  # fmt: skip


class Shaped(f.Body):
    """Of OpenAI's and llama.cpp's requests: what would bind an answer's text."""

    grammar: Refused = None
    json_schema: Refused = None
    response_format: Format = None
    ignore_eos: Refused = None


class Tooled(Shaped):
    """Of chats, besides: tools that the model may call, under their new names and the old ones."""

    tools: Refused = None
    tool_choice: Choice = None
    functions: Refused = None
    function_call: Choice = None
