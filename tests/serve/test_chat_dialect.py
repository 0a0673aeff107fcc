from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from dialect_helpers import asked, events, lines
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25 import instruct
from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT
from codegen25.serve.chat_template import STOP, parts_of
from codegen25.serve.prompts import joined
from codegen25.tokenizer import Tokenizer
from codegen25.train.pairs import PairRows, Turn
from serving import SHIPPED, Running, tuned

TOKENIZER = Tokenizer.load(SHIPPED / "tokenizer.json")
SAID = [{"role": "user", "content": "Write a function that adds two numbers."}]


def test_a_model_that_only_completes_says_so(client: httpx.Client) -> None:
    error = asked(client, "/v1/chat/completions", {"messages": SAID}, 404)["error"]
    assert SHIPPED.name in error["message"] and "instructions" in error["message"]


def test_answers_in_the_layout_of_training(chat: httpx.Client, chatty: Running) -> None:
    body = {"messages": SAID, "max_tokens": 16, "temperature": 0}
    answer = asked(chat, "/v1/chat/completions", body)
    expected = chatty.engine.complete(instruct.question(SAID[0]["content"]), max_tokens=16)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": expected.text}
    assert answer["object"] == "chat.completion" and answer["usage"]["completion_tokens"] == 16
    parts = [{"type": "text", "text": SAID[0]["content"]}]
    body["messages"] = [{"role": "user", "content": parts}]
    same = asked(chat, "/v1/chat/completions", body)
    assert same["choices"] == answer["choices"]


def test_streams_a_role_then_text(chat: httpx.Client) -> None:
    body = {"messages": SAID, "max_tokens": 8, "temperature": 0}
    whole = asked(chat, "/v1/chat/completions", body)
    more = {"stream": True, "stream_options": {"include_usage": True}, "logprobs": True}
    *pieces, used, done = events(chat.post("/v1/chat/completions", json={**body, **more}))
    deltas = [each["choices"][0]["delta"] for each in pieces]
    assert deltas[0]["role"] == "assistant" and all("role" not in each for each in deltas[1:])
    text = "".join(each["content"] for each in deltas)
    assert text == whole["choices"][0]["message"]["content"]
    assert used["choices"] == [] and used["usage"] == whole["usage"] and done == "[DONE]"
    assert len(pieces[-1]["choices"][0]["logprobs"]["content"]) == 8


def test_several_answers_with_logprobs(chat: httpx.Client) -> None:
    body = {"messages": SAID, "max_completion_tokens": 4, "n": 2, "seed": 1, "logprobs": True}
    answer = asked(chat, "/v1/chat/completions", {**body, "top_logprobs": 3})
    assert [each["index"] for each in answer["choices"]] == [0, 1]
    for choice in answer["choices"]:
        content = choice["logprobs"]["content"]
        assert len(content) == 4 and all(len(each["top_logprobs"]) == 3 for each in content)


def test_ollama_chats_too(chat: httpx.Client, chatty: Running) -> None:
    *pieces, last = lines(
        chat.post("/api/chat", json={"messages": SAID, "options": {"num_predict": 8}})
    )
    text = "".join(each["message"]["content"] for each in pieces)
    expected = chatty.engine.complete(instruct.question(SAID[0]["content"]), max_tokens=8)
    assert text == expected.text and last["done_reason"] == "length"
    body = {"prompt": SAID[0]["content"], "options": {"num_predict": 8}, "stream": False}
    assert asked(chat, "/api/generate", body)["response"] == text
    assert asked(chat, "/api/generate", {**body, "raw": True})["response"] != text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ({"messages": SAID, "top_logprobs": 21}, "top_logprobs"),
        ({"messages": SAID, "n": 0}, "n"),
    ],
)
def test_a_wrong_field_is_named(chat: httpx.Client, body: object, param: str) -> None:
    error = asked(chat, "/v1/chat/completions", body, 400)["error"]
    assert error["param"].startswith(param)


@pytest.mark.parametrize(
    "roles", [["assistant"], ["user", "assistant"], ["tool"], ["system"], ["user", "robot"]]
)
def test_roles_out_of_turn(chat: httpx.Client, roles: list[str]) -> None:
    messages = [{"role": role, "content": "x"} for role in roles]
    error = asked(chat, "/v1/chat/completions", {"messages": messages}, 400)["error"]
    assert "messages" in error["message"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=4))
def test_a_conversation_is_laid_out_as_it_was_trained(pairs: list[tuple[str, str]]) -> None:
    messages = [said for asked, told in pairs for said in (("user", asked), ("assistant", told))]
    parts = parts_of(messages[:-1], TOKENIZER)
    ids = list(joined(TOKENIZER, parts))
    turns = tuple(
        Turn(instruct.question(asked, first=not i), told) for i, (asked, told) in enumerate(pairs)
    )
    row = PairRows([turns], TOKENIZER, 2000)
    inputs, _, answers = row.arrays(0, 0)
    assert inputs[: len(ids)].tolist() == ids
    assert answers[len(ids) - 1] and TOKENIZER.special(END_OF_TEXT) in inputs


def test_a_system_speaks_first() -> None:
    said = [("system", "Be brief."), ("user", "One?"), ("user", "Or two?")]
    assert parts_of(said, TOKENIZER) == [instruct.question("Be brief.\n\nOne?\n\nOr two?")]
    assert STOP == "### Instruction:"
    with pytest.raises(UserError, match="role"):
        parts_of([("user", "x"), ("tool", "y")], TOKENIZER)


def test_which_models_are_tuned(tmp_path: Path) -> None:
    assert not instruct.is_instruct(SHIPPED)
    assert instruct.is_instruct(tuned(tmp_path / "a"))
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert not instruct.is_instruct(folder)
    (folder / "training.json").write_text('{"recipe": {"pairs": "docstrings"}}')
    assert instruct.is_instruct(folder)
    (folder / "config.json").write_text('{"codegen25": {"chat": "other"}}')
    assert not instruct.is_instruct(folder)
