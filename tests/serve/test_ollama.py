from __future__ import annotations

from datetime import datetime

import httpx
import pytest
from dialect_helpers import PREFIX, SUFFIX, asked, lines, recorded

from serving import SHIPPED, Running

NAME = SHIPPED.name


def test_continue_gets_lines(client: httpx.Client) -> None:
    body = recorded("continue_ollama", model=f"{NAME}:latest")
    *pieces, last = lines(client.post("/api/generate", json=body))
    assert pieces and "".join(each["response"] for each in pieces)
    assert all(each["done"] is False and each["model"] == f"{NAME}:latest" for each in pieces)
    assert last["done"] is True and last["response"] == "" and last["done_reason"] == "stop"
    assert last["prompt_eval_count"] > 0 and isinstance(last["eval_duration"], int)
    datetime.fromisoformat(last["created_at"])


def test_whole_is_what_is_streamed(client: httpx.Client, server: Running) -> None:
    body = {"model": NAME, "prompt": PREFIX, "options": {"num_predict": 10, "temperature": 0}}
    whole = asked(client, "/api/generate", {**body, "stream": False})
    streamed = lines(client.post("/api/generate", json=body))
    text = "".join(each["response"] for each in streamed)
    assert whole["response"] == text == server.engine.complete(PREFIX, max_tokens=10).text
    assert whole["done_reason"] == "length" and whole["eval_count"] == 10


def test_a_suffix_makes_it_an_infill(client: httpx.Client) -> None:
    body = {"prompt": PREFIX, "suffix": SUFFIX, "stream": False}
    answer = asked(client, "/api/generate", body)
    assert answer["done_reason"] == "stop" and "\n\n\n" not in answer["response"]


def test_an_empty_prompt_only_loads(client: httpx.Client) -> None:
    answer = asked(client, "/api/generate", {"model": NAME})
    assert answer["done"] is True and answer["done_reason"] == "load" and answer["response"] == ""
    assert asked(client, "/api/chat", {"model": NAME})["done_reason"] == "load"


def test_what_there_is(client: httpx.Client, server: Running) -> None:
    [model] = client.get("/api/tags").json()["models"]
    assert model["name"] == f"{NAME}:latest" and model["details"]["family"] == "llama"
    datetime.fromisoformat(model["modified_at"])
    assert client.get("/api/ps").json()["models"][0]["name"] == model["name"]
    assert client.get("/api/version").json()["version"].count(".") == 2
    for body in ({"model": NAME}, {"name": f"{NAME}:latest"}):
        shown = asked(client, "/api/show", body)
        assert ".Suffix" in shown["template"] and shown["capabilities"] == ["completion", "insert"]
        assert shown["model_info"]["llama.context_length"] == server.engine.context


def test_errors_are_texts(client: httpx.Client) -> None:
    assert (
        "no model"
        in asked(client, "/api/generate", {"model": "other", "prompt": "x"}, 404)["error"]
    )
    said = [{"role": "user", "content": "hello"}]
    assert "chat" in asked(client, "/api/chat", {"model": NAME, "messages": said}, 404)["error"]
    images = {"model": NAME, "prompt": "x", "images": ["AAAA"]}
    assert "images" in asked(client, "/api/generate", images, 400)["error"]


def test_that_errors_are_texts_is_said(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]["/api/generate"]["post"]["responses"]
    for status in ("400", "404", "503"):
        schema = described[status]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/Refusal")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_predict", -3),
        ("repeat_penalty", 1e-310),
        ("temperature", 11),
        ("top_p", 0),
        ("top_k", "many"),
        ("seed", -2),
    ],
)
def test_options_are_checked(client: httpx.Client, name: str, value: object) -> None:
    body = {"model": NAME, "prompt": "x", "options": {name: value}}
    assert f"options.{name}" in asked(client, "/api/generate", body, 400)["error"]


def test_without_a_seed_one_is_drawn_but_not_for_keystrokes(client: httpx.Client) -> None:
    hot = {"temperature": 2, "top_k": 0, "top_p": 1, "num_predict": 12}

    def texts(**body: object) -> set[str]:
        asked_ = {"model": NAME, "prompt": "import ", "stream": False, "options": hot, **body}
        return {asked(client, "/api/generate", asked_)["response"] for _ in range(3)}

    assert len(texts()) > 1
    assert len(texts(options={**hot, "seed": 0})) == len(texts(options={**hot, "seed": 7})) == 1
    assert len(texts(suffix="\n\nprint(1)\n")) == 1
