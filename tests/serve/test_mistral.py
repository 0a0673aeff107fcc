from __future__ import annotations

import httpx
import pytest
from dialect_helpers import asked, events, recorded

from serving import SHIPPED


@pytest.mark.parametrize("path", ["/v1/fim/completions", "/fim/completions"])
def test_continue_gets_deltas(client: httpx.Client, path: str) -> None:
    body = recorded("continue_mistral", model=SHIPPED.name, temperature=0)
    *pieces, done = events(client.post(path, json=body))
    assert done == "[DONE]" and pieces[0]["object"] == "chat.completion.chunk"
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(each["choices"][0]["delta"]["content"] for each in pieces)
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop" and pieces[-1]["usage"]
    whole = asked(client, path, {**body, "stream": False})
    assert whole["choices"][0]["message"]["content"] == text != ""
    assert whole["object"] == "chat.completion" and "\n\n\n" not in text


def test_an_unknown_model_is_said_so(client: httpx.Client) -> None:
    body = recorded("continue_mistral", model="codestral-latest")
    assert asked(client, "/v1/fim/completions", body, 404)["error"]["param"] == "model"


@pytest.mark.parametrize(("name", "value"), [("prompt", None), ("random_seed", -5), ("top_p", 2)])
def test_a_wrong_field_is_named(client: httpx.Client, name: str, value: object) -> None:
    error = asked(client, "/v1/fim/completions", recorded("continue_mistral", **{name: value}), 400)
    assert error["error"]["param"] == name
