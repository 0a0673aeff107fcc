"""OpenAI's completion request, and the questions it asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeVar

from pydantic import Field

from codegen25.errors import UserError
from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops
from codegen25.serve import fields as f
from codegen25.serve.ask import Ask
from codegen25.serve.languages import language_named
from codegen25.serve.refused import Shaped

T = TypeVar("T")
MOST_PROMPTS = 64
MOST_ANSWERS = 256


class StreamOptions(f.Body):
    """What a stream carries besides text."""

    include_usage: bool = False


Prompt = Annotated[
    f.Text | f.Items[f.Text] | f.Items[f.Id] | f.Items[f.Items[f.Id]], f.at_most(f.MAX_IDS)
]


class CompletionBody(Shaped):
    """The request."""

    model: f.Name | None = None
    prompt: Prompt = ""
    suffix: f.Text | None = None
    max_tokens: f.Tokens | None = 16
    temperature: f.Temperature | None = 1.0
    top_p: f.TopP | None = 1.0
    n: f.Count | None = 1
    best_of: f.Count | None = None
    stop: f.Stop = None
    seed: f.Seed | None = None
    logprobs: f.Logprobs | None = None
    echo: bool | None = False
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    presence_penalty: f.Penalty | None = 0.0
    frequency_penalty: f.Penalty | None = 0.0
    logit_bias: f.Bias | None = None
    user: f.Name | None = None
    layout: f.Name | None = None
    single_line: bool = False
    session: bool = False
    top_k: f.TopK = 0
    min_p: f.Share = 0.0
    sure: f.Share = 0.0
    repetition_penalty: f.Repetition = 1.0
    language: Annotated[str, Field(max_length=40)] = "python"


def prompts_of(body: CompletionBody) -> list[str | list[int]]:
    """The prompts of a body: texts or lists of ids, at most `MOST_PROMPTS`."""
    given = body.prompt
    if isinstance(given, str):
        return [given]
    if not given:
        raise UserError("prompt is an empty list; give at least one")
    if all(isinstance(each, int) for each in given):
        return [[each for each in given if isinstance(each, int)]]
    if len(given) > MOST_PROMPTS:
        raise UserError(f"prompt is a list of {len(given)}; it takes at most {MOST_PROMPTS}")
    if len(given) * wanted(body) > MOST_ANSWERS:
        raise UserError(f"prompt and n make more than {MOST_ANSWERS} answers; ask twice")
    return [each for each in given if not isinstance(each, int)]


def ask_of(body: CompletionBody, prompt: str | list[int], owner: str) -> Ask:
    """The question that a body asks of one of its prompts."""
    made = wanted(body)
    if body.suffix is not None and not isinstance(prompt, str):
        raise UserError("suffix goes with a prompt of text, not of ids")
    if body.echo and body.suffix is not None:
        raise UserError("echo and suffix exclude each other")
    sampling = Sampling(
        temperature=_or(body.temperature, 1.0), top_p=_or(body.top_p, 1.0),
        seed=_seed(body), top_k=max(0, body.top_k), min_p=body.min_p,
        sure=body.sure, repetition_penalty=body.repetition_penalty,
        presence_penalty=_or(body.presence_penalty, 0.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        logit_bias=f.bias_of(body.logit_bias),
        logprobs=0 if body.logprobs is None and made == (body.n or 1)
        else max(1, body.logprobs or 0),
    )  # fmt: skip
    strings = f.stops_of(body.stop)
    if body.session:
        stops = replace(Stops.editor(single_line=body.single_line), strings=strings)
    else:
        stops = Stops(strings, single_line=body.single_line)
    return Ask(
        prefix=prompt if isinstance(prompt, str) else "", suffix=body.suffix,
        ids=None if isinstance(prompt, str) else tuple(prompt),
        max_tokens=_or(body.max_tokens, 16), sampling=sampling, n=made, stops=stops,
        layout=body.layout, typing=body.session, language=language_named(body.language),
        owner=owner,
    )  # fmt: skip


def wanted(body: CompletionBody) -> int:
    """How many answers are made; the best `n` of them are returned."""
    n = body.n or 1
    best_of = n if body.best_of is None else body.best_of
    if best_of < n:
        raise UserError(f"best_of is {best_of}; it is at least n, which is {n}")
    if body.stream and best_of > n:
        raise UserError("best_of above n can't be streamed")
    return best_of


def _seed(body: CompletionBody) -> int:
    """An editor's keystrokes draw alike, so that answers can be typed through."""
    return f.seed_of(0 if body.session and body.seed is None else body.seed)


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
