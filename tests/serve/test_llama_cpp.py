from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest
from dialect_helpers import PREFIX, asked, events, recorded

from codegen25.sample import scheduler
from codegen25.sample.request import Completion
from codegen25.sample.runner import Run
from codegen25.serve.dialects.llama_cpp import tokens
from codegen25.serve.dialects.llama_cpp.asks import InfillBody
from codegen25.serve.dialects.llama_cpp.reply import picked, stop_type, timings
from codegen25.tokenizer import Tokenizer
from serving import SHIPPED, Running

SLOW = {"t_max_predict_ms": 0}
"""No time limit: an answer depends on its question alone."""


def test_llama_vim_gets_one_line_of_json_with_its_fields(client: httpx.Client) -> None:
    body = recorded("llama_vim", t_max_predict_ms=20_000)
    body["input_suffix"] += "# nobody has asked this before\n"
    response = client.post("/infill", json=body, headers={"authorization": "Bearer"})
    assert response.status_code == 200
    assert re.search(r'"content"\s*:"', response.text) and "\n" not in response.text
    answer = response.json()
    assert set(answer) == set(body["response_fields"])
    assert answer["content"] and answer["truncated"] is False
    assert answer["timings/predicted_n"] >= 1


def test_a_line_that_is_typed_costs_its_tokens(client: httpx.Client, server: Running) -> None:
    line = "    total = price * (1 + rate)"
    costs = []
    for end in range(6, len(line)):
        body = recorded("llama_vim", prompt=line[:end], response_fields=[], n_predict=8, **SLOW)
        timings = asked(client, "/infill", body)["timings"]
        if timings["predicted_n"]:  # else it was typed through and nothing was asked
            costs.append(timings["prompt_n"])
    assert costs and sorted(costs)[len(costs) // 2] <= 2 and max(costs[1:]) <= 8


def test_the_line_stands_behind_the_last_sentinel(client: httpx.Client, server: Running) -> None:
    body = {"input_prefix": "def f(x):\n", "prompt": "    return ", "input_suffix": "\n"}
    answer = asked(client, "/infill", {**body, "n_predict": 8})
    prompt = server.engine.prompt("def f(x):\n", "\n", max_tokens=8, layout="anchored")
    assert len(prompt.ids) < answer["tokens_evaluated"] <= len(prompt.ids) + 4


def test_a_warming_request_answers_nothing(client: httpx.Client, server: Running) -> None:
    assert asked(client, "/infill", recorded("llama_vim_warm")) == {}
    answer = asked(client, "/infill", recorded("llama_vim_warm", response_fields=[]))
    assert answer["content"] == "" and answer["tokens_predicted"] == 0
    assert answer["timings"]["cache_n"] > 0  # by the first one


def test_a_warming_request_warms_what_is_asked_next(client: httpx.Client) -> None:
    file = "".join(f"warmed_{i} = measure({i}, 'a')\n" for i in range(400))
    body = {"input_prefix": file, "input_suffix": file[::-1], "prompt": "x = me", **SLOW}
    assert asked(client, "/infill", {**body, "n_predict": 0})["tokens_predicted"] == 0
    pace = asked(client, "/infill", {**body, "n_predict": 32})["timings"]
    assert pace["cache_n"] > 600 and pace["prompt_n"] <= 4


def test_what_only_warms_has_as_long_as_it_takes(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.vim gives it 1 ms, and the next keystroke is to find the other files computed."""
    assert InfillBody(**recorded("llama_vim_warm")).budget is None
    assert InfillBody(**recorded("llama_vim")).budget is not None
    runner = server.engine.runner
    forward = runner.forward

    def slow(runs: list[Run]) -> np.ndarray:
        time.sleep(0.03)
        return forward(runs)

    text = "".join(f"def warm_{i}(a):\n    return a * {i}\n" for i in range(12))
    extra = [{"text": text, "filename": "warm.py", "time": [1, 2]}]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "forward", slow)
        patch.setattr(scheduler, "MOST_CHUNK", scheduler.LEAST_CHUNK)
        assert asked(client, "/infill", recorded("llama_vim_warm", input_extra=extra)) == {}
    body = recorded("llama_vim_warm", input_extra=extra, n_predict=8, response_fields=[], **SLOW)
    pace = asked(client, "/infill", body)["timings"]
    assert pace["cache_n"] > 100 and pace["prompt_n"] <= 4


def test_a_prefetched_answer_serves_whoever_has_less_time(client: httpx.Client) -> None:
    first = asked(client, "/infill", recorded("llama_vim", prompt="    area = ",
                  response_fields=[], t_max_predict_ms=60_000))  # fmt: skip
    assert first["stop_type"] != "time" and len(first["content"]) > 1
    typed = "    area = " + first["content"][0]
    again = asked(client, "/infill", recorded("llama_vim", prompt=typed, response_fields=[],
                  t_max_predict_ms=50_000))  # fmt: skip
    assert again["content"] == first["content"][1:] and again["stop_rule"] == "typed through"


def test_pieces_are_made_beside_the_event_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, piece = set(), tokens._piece

    def spy(token: int, tokenizer: Tokenizer) -> str | list[int]:
        threads.add(threading.current_thread().name)
        return piece(token, tokenizer)

    monkeypatch.setattr(tokens, "_piece", spy)
    found = asked(client, "/tokenize", {"content": "def f(): pass", "with_pieces": True})["tokens"]
    assert len(found) > 3 and all(name.startswith("texts of ") for name in threads)


class Held:
    """Texts that are encoded only when `go` is set."""

    def __init__(self) -> None:
        self.go, self.seen = threading.Event(), list[str]()
        self._joined = tokens.joined

    def joined(self, tokenizer: Tokenizer, parts: list[Any]) -> tuple[int, ...]:
        self.seen.append(parts[0])
        self.go.wait(30)
        return self._joined(tokenizer, parts)


def test_a_key_is_answered_while_many_tokenize(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are threads for what takes longer than a key; one that leaves before
    its turn is not encoded at all."""
    held = Held()
    monkeypatch.setattr(tokens, "joined", held.joined)
    places = server.service.default.places

    async def ask() -> tuple[httpx.Response, list[int]]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:

            async def tokenized(text: str) -> int:
                return (await http.post("/tokenize", json={"content": text})).status_code

            many = [asyncio.create_task(tokenized(f"x{i}")) for i in range(40)]
            while places.taken < 40:
                await asyncio.sleep(0.005)
            many.pop().cancel()
            while places.taken == 40:
                await asyncio.sleep(0.005)
            body = recorded("llama_vim", **SLOW, input_prefix="y = 1\n" * 3000)
            key = await http.post("/infill", json=body)  # laid out in a thread
            assert len(held.seen) == 1
            held.go.set()
            return key, await asyncio.gather(*many)

    with contextlib.ExitStack() as stack:
        stack.callback(held.go.set)
        key, statuses = asyncio.run(ask())
    assert key.status_code == 200 and key.json()["content"]
    assert statuses == [200] * 39 and len(held.seen) == 39
    assert places.taken == 0


def test_tokenizing_takes_a_place_of_the_queue(client: httpx.Client, server: Running) -> None:
    places = server.service.default.places
    for path, body in (("/tokenize", {"content": "x"}), ("/detokenize", {"tokens": [5]})):
        with places.held(places.count):
            refused = client.post(path, json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.post(path, json=body).status_code == 200


def test_llama_vscode_gets_the_whole_answer(client: httpx.Client, server: Running) -> None:
    answer = asked(client, "/infill", recorded("llama_vscode", t_max_predict_ms=20_000))
    assert answer["stop"] is True and answer["stop_type"] in ("eos", "limit")
    assert answer["model"] == server.service.default.name
    assert answer["generation_settings"]["top_p"] == 0.99
    several = asked(client, "/infill", recorded("llama_vscode", n_cmpl=3, temperature=1.0, **SLOW))
    assert [each["index"] for each in several] == [0, 1, 2]


def test_streams_what_it_would_have_answered(client: httpx.Client) -> None:
    body = {"prompt": PREFIX, "n_predict": 12, "temperature": 0}
    whole = asked(client, "/completion", body)
    *pieces, last = events(client.post("/completion", json={**body, "stream": True}))
    assert "".join(each["content"] for each in pieces) == whole["content"] != ""
    assert all(each["stop"] is False for each in pieces) and last["stop"] is True
    assert last["content"] == "" and last["tokens_predicted"] == whole["tokens_predicted"]


def test_text_is_literal_and_ids_are_ids(client: httpx.Client, server: Running) -> None:
    encode = server.engine.tokenizer.encode
    greedy = {"n_predict": 6, "temperature": 0}
    mixed = ["def f(", *encode("x"), "<mask_1>"]
    ids = [*encode("def f("), *encode("x"), *encode("<mask_1>")]
    first = asked(client, "/completion", {"prompt": mixed, **greedy})
    second = asked(client, "/completion", {"prompt": ids, **greedy})
    assert first["content"] == second["content"]
    assert first["tokens_evaluated"] == len(ids) > 8
    many = asked(client, "/completions", {"prompt": ["a", "b", encode("c")], **greedy})
    assert [each["index"] for each in many] == [0, 1, 2]


def test_all_the_room_there_is(client: httpx.Client, server: Running) -> None:
    ids = [5] * (server.engine.context - 3)
    answer = asked(client, "/completion", {"prompt": ids, "temperature": 0})
    assert answer["tokens_predicted"] <= 3
    error = asked(client, "/completion", {"prompt": [*ids, 5, 5, 5]}, 400)["error"]
    assert "context" in error["message"]
    text = "x" * 1_900_000  # refused before it is encoded
    assert "characters" in asked(client, "/completion", {"prompt": text}, 400)["error"]["message"]


def test_an_infill_is_cut_to_the_context(client: httpx.Client, server: Running) -> None:
    body = {
        "input_prefix": "x = 1\n" * 5000,
        "input_suffix": "y = 2\n" * 5000,
        "n_predict": 100_000,
    }
    for several in ({}, {"n_cmpl": 2}):
        answers = asked(client, "/infill", {**body, **several})
        for answer in answers if several else [answers]:
            tokens = answer["tokens_evaluated"] + answer["tokens_predicted"]
            assert tokens <= server.engine.context and answer["truncated"] is True


@pytest.mark.parametrize("several", [{}, {"n_cmpl": 2}])
def test_what_was_not_cut_is_not_said_to_be(client: httpx.Client, several: dict[str, int]) -> None:
    # A character of many bytes at every border, other files in front, and a token to be healed.
    extra = [{"filename": "b.py", "text": "def area(é):\n    return é\n"}]
    body = {
        "input_prefix": "é = '🙂'\n" * 9, "input_suffix": "\n🙂\n", "prompt": "    retu",
        "input_extra": extra, "n_predict": 4, **several,
    }  # fmt: skip
    found = asked(client, "/infill", body)
    for answer in found if several else [found]:
        assert answer["truncated"] is False
    cut = asked(client, "/infill", {**body, "input_suffix": "\n🙂x\n" * 2000})
    for answer in cut if several else [cut]:
        assert answer["truncated"] is True
    streamed = client.post("/infill", json={**body, "stream": True, "input_prefix": "x\n" * 4000})
    assert events(streamed)[-1]["truncated"] is True


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_predict", -3), ("n_predict", 2**40), ("top_k", -2), ("top_p", 0), ("min_p", 2),
        ("temperature", -1), ("temperature", "hot"), ("seed", 2**64), ("n_cmpl", 1000),
        ("n_indent", -1), ("t_max_predict_ms", 10**12), ("stop", 7), ("lora", [{"id": -1}]),
        ("response_fields", "content"), ("input_prefix", 1), ("input_extra", [3]),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(client: httpx.Client, field: str, value: object) -> None:
    error = asked(client, "/infill", {"input_prefix": "x", field: value}, 400)["error"]
    assert error["param"].startswith(field)


def test_an_empty_prompt_is_continued_as_far_as_there_is_room(client: httpx.Client) -> None:
    body = {"prompt": "", "n_predict": -1, "temperature": 0, "stop": ["\n"]}
    assert asked(client, "/completion", body)["stop_type"] == "word"


def test_tokens_there_and_back(client: httpx.Client, server: Running) -> None:
    text = "def f(é):\n    return '🙂 <eom>'"
    ids = asked(client, "/tokenize", {"content": text})["tokens"]
    assert ids == server.engine.tokenizer.encode(text)
    assert asked(client, "/detokenize", {"tokens": ids})["content"] == text
    pieces = asked(client, "/tokenize", {"content": text, "with_pieces": True})["tokens"]
    raw = [p.encode() if isinstance(p := each["piece"], str) else bytes(p) for each in pieces]
    assert b"".join(raw).decode() == text
    far = server.engine.tokenizer.vocab_size
    assert str(far) in asked(client, "/detokenize", {"tokens": [far]}, 400)["error"]["message"]


def test_what_it_says_of_itself(client: httpx.Client, server: Running) -> None:
    props = client.get("/props").json()
    assert props["model"] == SHIPPED.name and props["context"] == server.engine.context
    assert props["default_layout"] in props["layouts"] and "anchored" in props["layouts"]
    assert props["default_generation_settings"]["n_ctx"] == server.engine.context
    slots = client.get("/slots").json()
    assert len(slots) == props["total_slots"] >= 1
    assert set(slots[0]) == {"id", "n_ctx", "is_processing"}


def test_fields_are_unnested_under_their_path() -> None:
    reply = {"content": "x", "timings": {"prompt_ms": 1.5}}
    assert picked(reply, ["timings/prompt_ms", "nothing", "content/x"]) == {
        "timings/prompt_ms": 1.5
    }
    assert picked(reply, [""]) == {} and picked(reply, []) == reply


def test_why_it_stopped() -> None:
    def ended(reason: str, rule: str | None = None) -> Completion:
        return Completion("", reason, 2, 10, 5.0, 0.0, rule, 4)

    assert stop_type(ended("end")) == "eos"
    assert stop_type(ended("stop", "stop_string")) == "word"
    assert stop_type(ended("stop", "indent")) == stop_type(ended("time")) == "limit"
    pace = timings(ended("end"))
    assert (pace["cache_n"], pace["prompt_n"]) == (4, 6) and pace["predicted_per_second"] == 0
