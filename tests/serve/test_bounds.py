"""Lists and texts of any length in a body: refused before they cost anything."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from dialect_helpers import asked, recorded
from pydantic import ValidationError

from codegen25.serve import fields as f
from codegen25.serve.dialects.chat.body import ChatBody
from codegen25.serve.dialects.copilot import CopilotBody
from codegen25.serve.dialects.llama_cpp import tokens
from codegen25.serve.dialects.llama_cpp.asks import CompletionBody as LlamaBody
from codegen25.serve.dialects.llama_cpp.asks import InfillBody
from codegen25.serve.dialects.mistral import FimBody
from codegen25.serve.dialects.ollama import body as ollama
from codegen25.serve.dialects.openai_body import CompletionBody
from codegen25.serve.dialects.tabby.completions import Segments, TabbyBody

MANY = 20_000
BODIES = (
    ChatBody, CopilotBody, tokens.TokenizeBody, tokens.DetokenizeBody, LlamaBody, InfillBody,
    FimBody, ollama.GenerateBody, ollama.ChatBody, ollama.Options, CompletionBody, Segments,
    TabbyBody,
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body.__module__}.{body.__name__}")
def test_a_long_list_of_anything_makes_few_faults(body: type[f.Body]) -> None:
    values: list[Any] = [
        [None] * MANY, [[None] * MANY], ["x", *[None] * MANY], [[]] * MANY, [{}] * MANY,
        {f"{i}": None for i in range(MANY)},
    ]  # fmt: skip
    for name in body.model_fields:
        for value in values:
            try:
                body.model_validate({name: value})
            except ValidationError as error:
                assert error.error_count() < 50, name


@pytest.mark.parametrize(
    ("body", "name"),
    [(CompletionBody, "prompt"), (LlamaBody, "prompt"), (tokens.TokenizeBody, "content"),
     (tokens.DetokenizeBody, "tokens")],
)  # fmt: skip
def test_ids_are_bounded(body: type[f.Body], name: str) -> None:
    body.model_validate({name: [1] * f.MAX_IDS})
    with pytest.raises(ValidationError, match=f"{f.MAX_IDS}"):
        body.model_validate({name: [1] * (f.MAX_IDS + 1)})
    if name == "prompt":
        with pytest.raises(ValidationError, match=f"at most {f.MAX_IDS}"):
            body.model_validate({name: [[1] * (f.MAX_IDS // 2), [1] * (f.MAX_IDS // 2)]})


def test_a_million_nulls_are_refused_by_their_count(client: httpx.Client) -> None:
    content = b'{"prompt":[' + b",".join([b"null"] * 800_000) + b"]}"
    refused = client.post("/v1/completions", content=content)
    error = refused.json()["error"]
    assert refused.status_code == 400 and error["param"] == "prompt"
    assert "800000 items" in error["message"]


STOPS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": "x", "max_tokens": 1}, ""),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, ""),
    ("/infill", recorded("llama_vim", t_max_predict_ms=0), ""),
    ("/completion", {"prompt": "x", "n_predict": 1}, ""),
    ("/v1/engines/x/completions", recorded("copilot", stream=False), ""),
    ("/v1/fim/completions", {"prompt": "x", "max_tokens": 1}, ""),
    ("/api/generate", {"prompt": "x", "stream": False}, "options"),
]


@pytest.mark.parametrize(("path", "body", "within"), STOPS, ids=[path for path, *_ in STOPS])
def test_stop_strings_are_bounded(
    client: httpx.Client, path: str, body: dict[str, Any], within: str
) -> None:
    def said(stop: object) -> httpx.Response:
        more = {within: {"stop": stop, "num_predict": 1}} if within else {"stop": stop}
        return client.post(path, json={**body, **more})

    length, count = f.MAX_STOP_LENGTH, f.MAX_STOPS
    assert (length, count) == (256, 16)
    taken = 404 if "chat" in path else 200  # by a model that does not chat
    for stop in ("é" * length, ["s" * length] * count, None, []):
        assert said(stop).status_code == taken
    for stop in ("s" * (length + 1), ["s", "s" * (length + 1)], ["s"] * (count + 1)):
        refused = said(stop)
        assert refused.status_code == 400 and "stop" in refused.text


def test_biases_are_counted_first(client: httpx.Client) -> None:
    body = {"prompt": "x", "max_tokens": 1, "logit_bias": {f"{i}": 1 for i in range(1025)}}
    error = asked(client, "/v1/completions", body, 400)["error"]
    assert error["param"] == "logit_bias" and "1025" in error["message"]
