"""A chat's answers, whole or as they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from codegen25.sample.request import Completion
from codegen25.serve import fields as f
from codegen25.serve import logprobs
from codegen25.serve.answers import ending, head, timings, usage
from codegen25.serve.ask import Ask
from codegen25.serve.chat_template import require_chat
from codegen25.serve.dialects.chat.body import ChatBody
from codegen25.serve.reply import DONE, EVENTS, begun, event, reply, while_there
from codegen25.serve.served import Served

router = APIRouter(tags=["OpenAI"])


@router.post("/v1/chat/completions")
async def chat(body: ChatBody, request: Request) -> Response:
    """Answer the last message. Models that only complete code are a 404."""
    served = f.served(request, body.model)
    require_chat(served)
    ask = await while_there(request.receive, body.ask(served, f.owner_of(request)))
    kind = "chat.completion.chunk" if body.stream else "chat.completion"
    top = head("chatcmpl", kind, served.name)
    if body.stream:
        return await begun(request.receive, _events(request, served, body, ask, top), EVENTS)
    work = f.service_of(request).answers(served, ask)
    found = await while_there(request.receive, work)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": each.text},
            "logprobs": _logprobs(body, served, each),
            **ending(each),
        }
        for index, each in enumerate(found)
    ]
    numbers = {"usage": usage(found, ask.n), "timings": timings(found)}
    return reply({**top, "choices": choices, **numbers})


async def _events(
    request: Request, served: Served, body: ChatBody, ask: Ask, top: dict[str, Any]
) -> AsyncIterator[bytes]:
    ended: list[Completion] = []
    begun_: set[int] = set()
    async for index, piece in f.service_of(request).stream(served, [ask]):
        delta: dict[str, Any] = {"content": piece.text}
        if index not in begun_:
            begun_.add(index)
            delta = {"role": "assistant", **delta}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        if (last := piece.completion) is not None:
            ended.append(last)
            choice |= {**ending(last), "logprobs": _logprobs(body, served, last)}
        yield event({**top, "choices": [choice]})
    if body.stream_options is not None and body.stream_options.include_usage:
        yield event({**top, "choices": [], "usage": usage(ended, ask.n)})
    yield DONE


def _logprobs(body: ChatBody, served: Served, completion: Completion) -> dict[str, Any] | None:
    if not body.logprobs:
        return None
    top = body.top_logprobs or 0
    return logprobs.chat(completion.logprobs, served.backend.tokenizer, top)
