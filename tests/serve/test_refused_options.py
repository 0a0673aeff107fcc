"""Options that change an answer's meaning and are not heeded are refused by name."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from dialect_helpers import REQUESTS, recorded
from test_chat_dialect import SAID

OPENAI, CHAT = "/v1/completions", "/v1/chat/completions"
INFILL, COMPLETION = "/infill", "/completion"
GENERATE, OLLAMA_CHAT = "/api/generate", "/api/chat"
ASKED: dict[str, dict[str, Any]] = {
    OPENAI: {"prompt": "x = ", "max_tokens": 1},
    CHAT: {"messages": SAID, "max_tokens": 1},
    INFILL: {"input_prefix": "x = ", "n_predict": 1},
    COMPLETION: {"prompt": "x = ", "n_predict": 1},
    GENERATE: {"prompt": "x = ", "stream": False, "options": {"num_predict": 1}},
    OLLAMA_CHAT: {"messages": SAID, "stream": False, "options": {"num_predict": 1}},
}
SCHEMA = {"type": "object"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
SHAPES = [
    ("grammar", 'root ::= "a"'), ("json_schema", SCHEMA), ("ignore_eos", True),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_schema", "json_schema": {"schema": SCHEMA}}),
]  # fmt: skip
TOOLS = [
    ("tools", [TOOL]), ("tool_choice", "required"), ("functions", [TOOL["function"]]),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("function_call", {"name": "f"}),
]  # fmt: skip
REFUSED = [
    *((path, *each) for path in (OPENAI, CHAT, INFILL, COMPLETION) for each in SHAPES),
    *((CHAT, *each) for each in TOOLS),
    *((path, "logit_bias", [[1, 5.0]]) for path in (INFILL, COMPLETION)),
    *((path, "format", value) for path in (GENERATE, OLLAMA_CHAT) for value in ("json", SCHEMA)),
    (OLLAMA_CHAT, "tools", [TOOL]),
]
UNUSED = {
    "grammar": "", "json_schema": None, "ignore_eos": False, "response_format": {"type": "text"},
    "tools": [], "tool_choice": "auto", "functions": None, "function_call": "none", "format": "",
}  # fmt: skip
IGNORED = {
    "n_probs": 3, "return_tokens": True, "cache_prompt": True, "id_slot": 3, "mirostat": 2,
    "parallel_tool_calls": True, "think": False, "keep_alive": 60, "unknown": [1],
}  # fmt: skip


@pytest.mark.parametrize(("path", "name", "value"), REFUSED)
def test_what_is_not_heeded_is_refused_by_name(
    chat: httpx.Client, path: str, name: str, value: object
) -> None:
    response = chat.post(path, json={**ASKED[path], name: value})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    said = error if path.startswith("/api/") else error["message"]
    assert said.startswith(f"{name}: ") and "leave it out" in said and "\n" not in said
    if not path.startswith("/api/"):
        assert error["param"] == name


@pytest.mark.parametrize("path", list(ASKED))
def test_what_says_that_an_option_is_unused_passes(chat: httpx.Client, path: str) -> None:
    for more in (UNUSED, dict.fromkeys(UNUSED), {"tool_choice": "none"}, IGNORED):
        response = chat.post(path, json={**ASKED[path], **more})
        assert response.status_code == 200, (more, response.text)


def test_no_recorded_client_uses_one() -> None:
    names = {name for _, name, _ in REFUSED}
    for path in REQUESTS.glob("*.json"):
        assert not names & set(json.loads(path.read_text())), path.name


@pytest.mark.parametrize("name", ["llama_vim", "llama_vim_warm", "llama_vscode"])
def test_clients_of_llama_cpp_are_answered_as_before(chat: httpx.Client, name: str) -> None:
    assert chat.post(INFILL, json=recorded(name, lora=[])).status_code == 200
