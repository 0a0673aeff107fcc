"""A chat as the ids that an instruct model was tuned on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT
from codegen25.instruct import INSTRUCTION, is_instruct, question
from codegen25.serve.refusals import UnknownModelError
from codegen25.serve.served import Served
from codegen25.tokenizer import Tokenizer

STOP = INSTRUCTION
"""An answer that goes on to the next instruction has ended."""
Message = tuple[str, str]
"""A role and what it says."""

_is_instruct = cache(is_instruct)


def chats(served: Served) -> bool:
    """Whether a served model was tuned on instructions."""
    folder: Path | None = getattr(served.backend, "folder", None)
    return folder is not None and _is_instruct(folder)


def require_chat(served: Served) -> None:
    """Refuse a chat with a model that completes code and knows no instructions."""
    if not chats(served):
        raise UnknownModelError(
            f"{served.name} completes and infills code, it does not chat; serve a model that was "
            "tuned on instructions"
        )


def parts_of(messages: Sequence[Message], tokenizer: Tokenizer) -> list[str | int]:
    """The prompt that asks for an answer to the last message, see `prompts.encoded`.

    As in tuning, prompts and answers are encoded each by itself, and an end token closes an answer.
    """
    end = tokenizer.special(END_OF_TEXT)
    parts: list[str | int] = []
    for asked, answer in _turns(messages):
        parts.append(asked)
        if answer is not None:
            parts += [answer, *([] if end is None else [end])]
    return parts


def _turns(messages: Sequence[Message]) -> Iterator[tuple[str, str | None]]:
    """Prompts and their answers, the last one's still missing. What a system says stands before
    the next instruction, and what a user says at several times is one instruction."""
    system, asked, first = "", "", True
    for role, text in messages:
        if role in ("system", "developer"):
            system += text + "\n\n"
        elif role == "user":
            asked += ("\n\n" if asked else "") + text
        elif role == "assistant" and asked:
            yield question(system + asked, first=first), text
            system, asked, first = "", "", False
        else:
            raise UserError(
                f"messages: the role {role[:40]!r} is out of turn; there are system, user and "
                "assistant, and an assistant answers a user"
            )
    if not asked:
        raise UserError("messages: the last one is the user's, to be answered")
    yield question(system + asked, first=first), None
