"""Ids of text, and text of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from codegen25.errors import UserError
from codegen25.serve import fields as f
from codegen25.serve.prompts import joined
from codegen25.serve.reply import reply, while_there
from codegen25.serve.spelling import bytes_of
from codegen25.tokenizer import Tokenizer

router = APIRouter()


class TokenizeBody(f.Body):
    """Text, or text and ids mixed. It is literal: nothing in it becomes a control token."""

    content: Annotated[f.Text | f.Items[f.Id | f.Text], f.at_most(f.MAX_IDS)] = ""
    with_pieces: bool = False


class DetokenizeBody(f.Body):
    """Ids."""

    tokens: Annotated[f.Items[f.Id], Field(max_length=f.MAX_IDS)] = Field(default_factory=list)


@router.post("/tokenize")
async def tokenize(body: TokenizeBody, request: Request) -> Response:
    """Ids of a text."""
    return await _apart(request, partial(_tokenized, body))


@router.post("/detokenize")
async def detokenize(body: DetokenizeBody, request: Request) -> Response:
    """The text of ids."""
    return await _apart(request, partial(_detokenized, body))


async def _apart(request: Request, work: Callable[[Tokenizer], Response]) -> Response:
    served = f.served(request, None)
    done = served.apart(partial(work, served.backend.tokenizer))
    return await while_there(request.receive, done)


def _tokenized(body: TokenizeBody, tokenizer: Tokenizer) -> Response:
    parts = [body.content] if isinstance(body.content, str) else body.content
    ids = joined(tokenizer, parts)
    _require_known(ids, tokenizer)
    if not body.with_pieces:
        return reply({"tokens": ids})
    return reply({"tokens": [{"id": i, "piece": _piece(i, tokenizer)} for i in ids]})


def _detokenized(body: DetokenizeBody, tokenizer: Tokenizer) -> Response:
    _require_known(body.tokens, tokenizer)
    return reply({"content": tokenizer.decode(body.tokens)})


def _require_known(ids: Sequence[int], tokenizer: Tokenizer) -> None:
    most = tokenizer.vocab_size
    if bad := next((i for i in ids if i >= most), None):
        raise UserError(f"tokens: the id {bad} is outside the vocabulary of {most}")


def _piece(token: int, tokenizer: Tokenizer) -> str | list[int]:
    """A token's text, or its bytes when they are a part of a character."""
    raw = bytes_of(token, tokenizer)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
