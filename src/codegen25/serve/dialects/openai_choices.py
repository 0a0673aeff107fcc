"""OpenAI's choices: answers with their log-probabilities, the prompt echoed if that was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codegen25.errors import UserError
from codegen25.sample.request import Completion
from codegen25.serve import logprobs
from codegen25.serve.answers import ending, timings, usage
from codegen25.serve.ask import Ask
from codegen25.serve.dialects.openai_body import CompletionBody
from codegen25.serve.served import Served, together
from codegen25.serve.service import Service


async def whole(
    service: Service, served: Served, body: CompletionBody, asks: list[Ask]
) -> tuple[list[dict[str, Any]], list[Completion], dict[str, Any]]:
    """All choices, the answer that each shows, and their numbers: the usage and the times."""
    choices: list[dict[str, Any]] = []
    shown: list[Completion] = []
    with served.held(asks):  # those that are scored too, until they are
        found = await together(service.compute(served, ask) for ask in asks)
        for ask, completions in zip(asks, found, strict=True):
            echo = await _echo(served, body, ask) if body.echo else None
            for completion in _best(completions, body.n or 1):
                choices.append(_choice(served, body, len(choices), completion, echo))
                shown.append(completion)
    everything = [each for completions in found for each in completions]
    numbers = {"usage": usage(everything, max(1, asks[0].n)), "timings": timings(everything)}
    return choices, shown, numbers


@dataclass(frozen=True)
class Echo:
    """A prompt that is shown again."""

    text: str
    logprobs: dict[str, Any] | None


async def _echo(served: Served, body: CompletionBody, ask: Ask) -> Echo:
    tokenizer = served.backend.tokenizer
    text = ask.prefix if ask.ids is None else tokenizer.decode(ask.ids)
    if body.logprobs is None:
        return Echo(text, None)
    ids = list(ask.ids) if ask.ids is not None else tokenizer.encode(ask.prefix)
    if not ids:
        return Echo(text, logprobs.legacy([], tokenizer, body.logprobs))
    scored = await served.score(ids, max(1, body.logprobs))
    return Echo(text, logprobs.echoed(ids[0], scored, tokenizer, body.logprobs))


def _best(completions: list[Completion], n: int) -> list[Completion]:
    """The `n` answers whose tokens were likeliest, in the order they were made."""
    if len(completions) == n:
        return completions

    def mean(completion: Completion) -> float:
        each = [token.logprob for token in completion.logprobs]
        return sum(each) / max(1, len(each))

    kept = sorted(range(len(completions)), key=lambda i: -mean(completions[i]))[:n]
    return [completions[i] for i in sorted(kept)]


def _choice(
    served: Served, body: CompletionBody, index: int, completion: Completion, echo: Echo | None
) -> dict[str, Any]:
    shown = None
    if body.logprobs is not None:
        offset = len(echo.text) if echo else 0
        shown = logprobs.legacy(
            completion.logprobs, served.backend.tokenizer, body.logprobs, offset
        )
        if echo and echo.logprobs is not None:
            shown = logprobs.joined(echo.logprobs, shown)
    text = (echo.text if echo else "") + completion.text
    return {"index": index, "text": text, "logprobs": shown, **ending(completion)}


async def echoed(served: Served, body: CompletionBody, asks: list[Ask]) -> dict[int, str]:
    """What each streamed answer begins with: its prompt, if that is to be echoed."""
    if not body.echo:
        return {}
    if body.logprobs is not None:
        raise UserError("echo with logprobs can't be streamed")
    texts = [(await _echo(served, body, ask)).text for ask in asks]
    return {i * ask.n + k: texts[i] for i, ask in enumerate(asks) for k in range(ask.n)}
