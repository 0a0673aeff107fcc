from __future__ import annotations

import time

import httpx
import pytest
from dialect_helpers import asked, events, recorded

from serving import Running


@pytest.mark.parametrize("engine", ["codegen", "copilot-codex"])
def test_any_engine_is_the_default_model(
    client: httpx.Client, server: Running, engine: str
) -> None:
    *pieces, done = events(
        client.post(f"/v1/engines/{engine}/completions", json=recorded("copilot"))
    )
    assert done == "[DONE]" and {each["object"] for each in pieces} == {"text_completion"}
    text = "".join(each["choices"][0]["text"] for each in pieces)
    assert text and "\n" not in text
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"
    assert pieces[-1]["model"] == server.service.default.name


def test_whole_answers_name_their_tokens(client: httpx.Client) -> None:
    body = recorded("copilot", stream=False, logprobs=2)
    answer = asked(client, "/v1/engines/codegen/completions", body)
    assert answer["choices"][0]["logprobs"]["top_logprobs"]
    assert answer["usage"]["completion_tokens"] >= 1


def test_typing_on_is_known_already(client: httpx.Client) -> None:
    body = recorded("copilot", stream=False, stop=None)
    first = asked(client, "/v1/engines/codegen/completions", body)["choices"][0]["text"]
    body["prompt"] += first[0]
    again = asked(client, "/v1/engines/codegen/completions", body)["choices"][0]
    assert again["text"] == first[1:] and again["stop_rule"] == "typed through"


def test_a_token_for_plugins(client: httpx.Client) -> None:
    answer = client.get("/copilot_internal/v2/token").json()
    assert answer["token"] and answer["expires_at"] > time.time() and answer["refresh_in"] > 0


def test_a_wrong_field_is_named(client: httpx.Client) -> None:
    body = recorded("copilot", max_tokens=-1)
    error = asked(client, "/v1/engines/codegen/completions", body, 400)["error"]
    assert error["param"] == "max_tokens"
