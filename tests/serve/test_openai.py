import asyncio
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from codegen25.directory import Directory
from codegen25.models import resolve
from codegen25.sample.request import TokenLogprobs
from codegen25.serve.accepted import Accepted, listed
from codegen25.serve.served import Served
from serving import Running

PREFIX = "def add(a, b):\n    "
SUFFIX = "\n\n\nprint(add(1, 2))\n"
GREEDY = {"temperature": 0, "max_tokens": 24}


def ask(client: httpx.Client, **body: object) -> dict:
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def events(text: str) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_fills_in_between_prompt_and_suffix(client: httpx.Client, server: Running) -> None:
    answer = ask(client, prompt=PREFIX, suffix=SUFFIX, **GREEDY)
    expected = server.engine.infill(PREFIX, SUFFIX, max_tokens=24)
    choice = answer["choices"][0]
    assert choice["text"] == expected.text != ""
    assert choice["finish_reason"] == "stop" and choice["stop_reason"] == expected.stop_reason
    assert answer["usage"]["prompt_tokens"] == expected.prompt_tokens
    assert answer["usage"]["completion_tokens"] == expected.tokens
    assert answer["object"] == "text_completion" and answer["model"] == server.service.default.name


def test_an_empty_suffix_is_an_infill_and_none_a_continuation(
    client: httpx.Client, server: Running
) -> None:
    infilled = ask(client, prompt=PREFIX, suffix="", **GREEDY)["choices"][0]["text"]
    continued = ask(client, prompt=PREFIX, **GREEDY)["choices"][0]["text"]
    assert infilled == server.engine.infill(PREFIX, "", max_tokens=24).text
    assert continued == server.engine.complete(PREFIX, max_tokens=24).text


def test_a_prompt_of_ids_is_that_of_text(client: httpx.Client, server: Running) -> None:
    ids = server.engine.tokenizer.encode(PREFIX)
    text = ask(client, prompt=PREFIX, **GREEDY)["choices"][0]["text"]
    assert ask(client, prompt=ids, **GREEDY)["choices"][0]["text"] == text
    many = ask(client, prompt=[ids, ids], **GREEDY)["choices"]
    assert [(each["index"], each["text"]) for each in many] == [(0, text), (1, text)]


def test_streams_what_it_would_have_answered(client: httpx.Client) -> None:
    whole = ask(client, prompt=PREFIX, suffix=SUFFIX, **GREEDY)
    body = {"prompt": PREFIX, "suffix": SUFFIX, **GREEDY, "stream": True}
    got = events(
        client.post(
            "/v1/completions", json={**body, "stream_options": {"include_usage": True}}
        ).text
    )
    *pieces, last = got
    assert "".join(each["choices"][0]["text"] for each in pieces) == whole["choices"][0]["text"]
    assert [e["choices"][0]["finish_reason"] for e in pieces] == [None] * (len(pieces) - 1) + [
        "stop"
    ]
    assert last["choices"] == [] and last["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    assert len({each["id"] for each in got}) == 1


def test_streams_the_prompt_first_when_it_is_echoed(client: httpx.Client) -> None:
    body = {"prompt": ["x = ", "y = "], **GREEDY, "echo": True}
    whole = ask(client, **body)["choices"]
    texts = ["", ""]
    for each in events(client.post("/v1/completions", json={**body, "stream": True}).text):
        texts[each["choices"][0]["index"]] += each["choices"][0]["text"]
    assert texts == [each["text"] for each in whole] and texts[1].startswith("y = ")
    wrong = {**body, "stream": True, "max_tokens": 10_000}
    assert client.post("/v1/completions", json=wrong).status_code == 400


def test_several_answers_are_numbered_and_seeded(client: httpx.Client) -> None:
    body = {"prompt": "import ", "n": 3, "temperature": 1.0, "max_tokens": 12, "seed": 5}
    first, again = ask(client, **body), ask(client, **body)
    texts = [each["text"] for each in first["choices"]]
    assert [each["index"] for each in first["choices"]] == [0, 1, 2]
    assert texts == [each["text"] for each in again["choices"]] and len(set(texts)) > 1
    streamed = ["", "", ""]
    for each in events(client.post("/v1/completions", json={**body, "stream": True}).text):
        streamed[each["choices"][0]["index"]] += each["choices"][0]["text"]
    assert streamed == texts


def test_the_best_of_several_is_the_likeliest(client: httpx.Client) -> None:
    body = {"prompt": "import ", "temperature": 1.0, "max_tokens": 8, "seed": 3, "logprobs": 0}
    made = ask(client, **body, n=4)["choices"]

    def mean(choice: dict) -> float:
        each = choice["logprobs"]["token_logprobs"]
        return sum(each) / len(each)

    best = ask(client, **body, n=1, best_of=4)["choices"]
    assert [each["text"] for each in best] == [max(made, key=mean)["text"]]


def test_echo_with_logprobs_gives_those_of_the_prompt(
    client: httpx.Client, server: Running
) -> None:
    ids = server.engine.tokenizer.encode("for i in range(10):\n    print(i)")
    choice = ask(client, prompt=ids, echo=True, logprobs=1, max_tokens=1, temperature=0)["choices"][
        0
    ]
    found = choice["logprobs"]
    assert len(found["tokens"]) == len(ids) + 1 == len(found["token_logprobs"])
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    logits = server.engine.logits(ids)
    for i in range(1, len(ids)):
        row = logits[i - 1].astype(float)
        log = (
            row[ids[i]]
            - row.max()
            - __import__("math").log(sum(2.718281828459045 ** (row - row.max())))
        )
        assert found["token_logprobs"][i] == pytest.approx(log, abs=1e-4)
    assert choice["text"].startswith("for i in range(10):\n    print(i)")
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == [
        len("".join(found["tokens"][:i])) for i in range(len(found["tokens"]))
    ]


def test_who_leaves_ends_the_scoring(server: Running) -> None:
    served = server.service.default
    seen: list[bool] = []

    def slow(ids: list[int], top: int, given_up: Callable[[], bool]) -> list[TokenLogprobs]:
        end = time.monotonic() + 10
        while not given_up() and time.monotonic() < end:
            time.sleep(0.01)
        seen.append(given_up())
        return []

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Served(served.name, replaced).score([1, 2], 1)

    replaced = copy.copy(server.engine)
    replaced.score = slow  # type: ignore[method-assign]
    asyncio.run(leave())
    assert seen == [True]


def test_no_tokens_warm_the_cache(client: httpx.Client) -> None:
    prompt = "# a text that nobody asked about before\n" * 8
    warmed = ask(client, prompt=prompt, max_tokens=0)
    assert warmed["choices"][0]["text"] == "" and warmed["usage"]["completion_tokens"] == 0
    after = ask(client, prompt=prompt, max_tokens=1)["usage"]
    assert after["prompt_tokens_details"]["cached_tokens"] >= after["prompt_tokens"] - 1


def test_a_keystroke_costs_the_tokens_typed(client: httpx.Client) -> None:
    before = "import os\n\n\ndef join(a, b):\n    return os.pa"
    behind = "\n\n\ndef other():\n    pass\n" * 8
    body = {"suffix": behind, "session": True, **GREEDY}
    ask(client, prompt=before, **body)
    usage = ask(client, prompt=before + "th.j", **body)["usage"]
    fresh = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert usage["prompt_tokens"] > 80 and fresh <= 4


def test_an_answer_typed_through_is_known(client: httpx.Client) -> None:
    body = {"suffix": SUFFIX, "session": True, **GREEDY}
    text = ask(client, prompt=PREFIX, **body)["choices"][0]["text"]
    assert len(text) > 3
    choice = ask(client, prompt=PREFIX + text[:2], **body)["choices"][0]
    assert (choice["text"], choice["stop_rule"]) == (text[2:], "typed through")


@pytest.mark.parametrize("stream", [True, False])
def test_what_an_editor_accepted_is_kept_when_asked(
    client: httpx.Client, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(server.service, "events", Accepted(tmp_path, keep=True))
    body = {"prompt": PREFIX, "suffix": SUFFIX, "n": 2, "language": "go", **GREEDY}
    names = []
    for session in (True, False):
        asked = {**body, "session": session, "stream": stream}
        answer = client.post("/v1/completions", json=asked)
        names.append(events(answer.text)[0]["id"] if stream else answer.json()["id"])
    text = ask(client, **body)["choices"][1]["text"]
    for name in names:
        event = {"type": "select", "completion_id": name, "choice_index": 1}
        assert client.post("/v1/events", json=event).status_code == 200
    [row] = listed(tmp_path)  # of a session alone
    assert (row["prefix"], row["middle"], row["suffix"]) == (PREFIX, text, SUFFIX)
    assert row["language"] == "go"


@pytest.mark.parametrize("stream", [True, False])
def test_an_echoed_prompt_is_kept_once(
    client: httpx.Client, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(server.service, "events", Accepted(tmp_path, keep=True))
    body = {"prompt": PREFIX, "session": True, "echo": True, "stream": stream, **GREEDY}
    answer = client.post("/v1/completions", json=body)
    name = events(answer.text)[0]["id"] if stream else answer.json()["id"]
    client.post("/v1/events", json={"type": "select", "completion_id": name})
    text = ask(client, **{**body, "stream": False, "echo": False})["choices"][0]["text"]
    [row] = listed(tmp_path)
    assert (row["prefix"], row["middle"], row["suffix"]) == (PREFIX, text, "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"temperature": float("1e9")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"n": 10_000}, "n"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"logprobs": 10_000}, "logprobs"),
        ({"top_p": 0}, "top_p"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[1]] * 1000}, "prompt"),
        ({"prompt": ["x"] * 64, "n": 8}, "answers"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**6]}, "token id"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": [1, 2], "suffix": "x"}, "suffix"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"layout": "sideways", "suffix": ""}, "layout"),
        ({"prompt": "x " * 5000, "max_tokens": 4}, "context"),
        ({"max_tokens": 10_000, "suffix": ""}, "max_tokens"),
        ({"seed": 2**70}, "seed"),
    ],
)
def test_bad_numbers_are_refused_by_name(
    client: httpx.Client, body: dict[str, object], said: str
) -> None:
    response = client.post("/v1/completions", json={"prompt": "x", **body})
    error = response.json()["error"]
    assert response.status_code == 400 and said in error["message"]
    assert error["type"] == "invalid_request_error"


def test_bytes_that_are_no_json_are_refused(client: httpx.Client) -> None:
    for content in (b"{", b"\xff\xfe", b"", b"[1]", b"null", b'{"prompt": "\\ud800"}', b"\x00"):
        response = client.post("/v1/completions", content=content)
        assert response.status_code == 400, content
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    response = client.post("/v1/completions", json={"model": "gpt-9", "prompt": "x"})
    assert response.status_code == 404 and "gpt-9" in response.json()["error"]["message"]
    assert client.get("/v1/models/gpt-9").status_code == 404


def test_lists_the_models(client: httpx.Client, server: Running) -> None:
    [model] = client.get("/v1/models").json()["data"]
    assert model["id"] == server.service.default.name
    assert model["max_model_len"] == server.engine.context
    assert client.get(f"/v1/models/{model['id']}").json() == model


def test_answers_are_json_without_spaces(client: httpx.Client) -> None:
    text = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).text
    assert "\n" not in text and '"choices":[' in text


def test_sentinels_in_text_are_text(client: httpx.Client, server: Running) -> None:
    answer = ask(client, prompt="s = '<mask_1>'  # ", suffix="<eom>\n", **GREEDY)
    specials = {server.engine.tokenizer.special(name) for name in ("<mask_1>", "<eom>")}
    ids = server.engine.prompt("s = '<mask_1>'  # ", "<eom>\n", max_tokens=24).ids
    assert sum(i in specials for i in ids) == 2  # the two that the layout itself has
    assert answer["usage"]["prompt_tokens"] == len(ids)


def test_the_end_of_a_span_ends_what_has_none_too(client: httpx.Client) -> None:
    form = Directory.read(resolve("default")).form
    assert form.span is not None
    body = {
        "prompt": "x = 1\n", "max_tokens": 8, "temperature": 0,
        "logit_bias": {str(form.span.end_of_middle): 100},
    }  # fmt: skip
    choice = client.post("/v1/completions", json=body).json()["choices"][0]
    assert (choice["text"], choice["stop_reason"]) == ("", "end")


def test_an_answer_ends_where_the_model_is_unsure(client: httpx.Client) -> None:
    body = {"prompt": "def area(width, height):\n    return ", "suffix": "\n", "max_tokens": 24}
    asked = [client.post("/v1/completions", json={**body, "temperature": 0, "sure": s}).json()
             for s in (0, 0.4, 1)]  # fmt: skip
    whole, likely, nothing = (each["choices"][0] for each in asked)
    assert whole["text"].startswith(likely["text"]) and nothing["text"] == ""
    assert nothing["stop_rule"] == "unsure" and nothing["finish_reason"] == "stop"
    assert client.post("/v1/completions", json={**body, "sure": 2}).status_code == 400
