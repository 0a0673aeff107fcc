"""OpenAI's `/v1/completions`, with `suffix` honoured.

Our own fields, which other clients leave out: `layout`, `single_line`, `session` (the keystrokes of
an editor, who may tell at `/v1/events` what became of an answer), `top_k`, `min_p`, `sure`,
`repetition_penalty`; and in the answer `stop_reason`, `stop_rule` and `timings`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Discriminator, Tag
from starlette.responses import Response

from codegen25.sample.request import Completion
from codegen25.serve import fields as f
from codegen25.serve import logprobs
from codegen25.serve.accepted import Shown, key
from codegen25.serve.answers import ending, head, timings, usage
from codegen25.serve.ask import Ask
from codegen25.serve.dialects import openai_models, tabby
from codegen25.serve.dialects.openai_body import CompletionBody, ask_of, prompts_of
from codegen25.serve.dialects.openai_choices import echoed, whole
from codegen25.serve.languages import language_named
from codegen25.serve.reply import DONE, EVENTS, begun, event, reply, while_there
from codegen25.serve.served import Served

router = APIRouter(tags=["OpenAI"])
router.include_router(openai_models.router)


def _dialect(raw: object) -> str:
    """Tabby's clients ask at the same path."""
    return "tabby-body" if isinstance(raw, dict) and "segments" in raw else "openai-body"


Either = Annotated[
    Annotated[CompletionBody, Tag("openai-body")] | Annotated[tabby.TabbyBody, Tag("tabby-body")],
    Discriminator(_dialect),
]


@router.post("/v1/completions")
async def completions(body: Either, request: Request) -> Response:
    """Continue a prompt, or fill in between `prompt` and `suffix`, or Tabby's `segments`."""
    if isinstance(body, tabby.TabbyBody):
        return await tabby.completions(body, request)
    model = f.served(request, body.model)
    asks = [ask_of(body, prompt, f.owner_of(request)) for prompt in prompts_of(body)]
    top = head("cmpl", "text_completion", model.name)
    if body.stream:
        return await begun(request.receive, _events(request, model, body, asks, top), EVENTS)
    work = whole(f.service_of(request), model, body, asks)
    choices, shown, numbers = await while_there(request.receive, work)
    for index, completion in enumerate(shown):
        _shown(request, body, top["id"], index, completion.text)
    return reply({**top, "choices": choices, **numbers})


def _shown(request: Request, body: CompletionBody, name: str, index: int, text: str) -> None:
    """An editor was given a completion; it may tell what became of it."""
    if body.session and isinstance(body.prompt, str):
        shown = Shown(body.prompt, text, body.suffix or "", language_named(body.language))
        f.service_of(request).events.show(key(f.owner_of(request), name, index), shown)


async def _events(
    request: Request, served: Served, body: CompletionBody, asks: list[Ask], top: dict[str, Any]
) -> AsyncIterator[bytes]:
    service, tokenizer = f.service_of(request), served.backend.tokenizer
    echoes = await echoed(served, body, asks)
    ended: list[Completion] = []
    async for index, piece in service.stream(served, asks):
        last = piece.completion
        if not piece.text and last is None:
            continue
        text = echoes.pop(index, "") + piece.text
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None}
        more: dict[str, Any] = {}
        if last is not None:
            ended.append(last)
            choice |= ending(last)
            _shown(request, body, top["id"], index, last.text)
            more = {"timings": timings([last])}
            if body.logprobs is not None:  # a token's text may end in a later piece: all at the end
                choice["logprobs"] = logprobs.legacy(last.logprobs, tokenizer, body.logprobs)
        yield event({**top, "choices": [choice], **more})
    if body.stream_options is not None and body.stream_options.include_usage:
        yield event({**top, "choices": [], "usage": usage(ended, max(1, asks[0].n))})
    yield DONE
