"""Tokens that are parts of characters: what they are called, where they stand, what page shows."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from dialect_helpers import asked
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.sample.request import TokenLogprobs
from codegen25.serve import logprobs
from codegen25.serve.spelling import bytes_of, places, spelled
from codegen25.tokenizer import Tokenizer
from serving import SHIPPED, Running

TOKENIZER = Tokenizer.load(SHIPPED / "tokenizer.json")
PAGE = Path(logprobs.__file__).parent / "playground/suggest.js"
TEXT = "x = 'é🎉'  # né"


def scored(text: str) -> list[TokenLogprobs]:
    ids = TOKENIZER.encode(text)
    return [TokenLogprobs(i, -0.5, ((i, -0.5), (ids[0], -2.0))) for i in ids]


def joined(tokens: list[str]) -> bytes:
    """What tokens as OpenAI writes them spell."""
    return b"".join(
        bytes.fromhex(each[6:].replace("\\x", "")) if each.startswith("bytes:") else each.encode()
        for each in tokens
    )


def test_parts_of_characters_are_bytes() -> None:
    assert spelled("é🎉".encode()) == "é🎉" and spelled(b"") == ""
    assert spelled(b"\xf0\x9f") == "bytes:\\xf0\\x9f"
    for token in TOKENIZER.special_ids[:3]:
        assert spelled(bytes_of(token, TOKENIZER)) == TOKENIZER.decode([token])


def test_the_old_form_names_bytes_and_places() -> None:
    found = logprobs.legacy(scored(TEXT), TOKENIZER, 2, 7)
    assert "\ufffd" not in json.dumps(found, ensure_ascii=False)
    assert any(each.startswith("bytes:\\x") for each in found["tokens"])
    assert joined(found["tokens"]).decode() == TEXT
    assert all(token in top for token, top in zip(*_columns(found), strict=True))
    for place, token in zip(found["text_offset"], found["tokens"], strict=True):
        if not token.startswith("bytes:"):
            assert TEXT[place - 7 :].startswith(token)
    assert found["text_offset"][0] == 7 and found["text_offset"][-1] == 7 + len(TEXT) - 1


def _columns(found: dict[str, Any]) -> tuple[list[str], list[dict[str, float]]]:
    return found["tokens"], found["top_logprobs"]


def test_chats_have_the_bytes() -> None:
    entries = logprobs.chat(scored(TEXT), TOKENIZER, 2)["content"]
    assert bytes(byte for each in entries for byte in each["bytes"]).decode() == TEXT
    assert joined([each["token"] for each in entries]).decode() == TEXT


@settings(max_examples=50)
@given(st.text("aé🎉\n", max_size=8), st.data())
def test_places_are_those_of_characters(text: str, data: st.DataObject) -> None:
    raw, tokens, expected = text.encode(), [], []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        before = text.encode()[: len(text.encode()) - len(raw)]
        expected.append(len(before.decode(errors="ignore")))
        tokens.append(raw[:size])
        raw = raw[size:]
    assert places(tokens) == expected


@given(st.lists(st.sampled_from([b"\xf0", b"\x9f", b"\xc3", b"\xa9", b"a", b"\xe0\x80", b"\xff"])))
def test_places_are_those_in_broken_text_too(tokens: list[bytes]) -> None:
    text = b"".join(tokens).decode(errors="replace")
    for place, raw in zip(places(tokens), tokens, strict=True):
        assert 0 <= place < len(text)
        if raw == b"a":
            assert text[place] == "a"


def test_an_echoed_prompt_has_them(client: httpx.Client) -> None:
    body = {"prompt": TEXT, "echo": True, "logprobs": 2, "max_tokens": 1, "temperature": 0}
    choice = asked(client, "/v1/completions", body)["choices"][0]
    found, text = choice["logprobs"], choice["text"]
    assert text.startswith(TEXT) and joined(found["tokens"]).startswith(TEXT.encode())
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert max(found["text_offset"]) <= len(text)


def answered(client: httpx.Client, server: Running, text: str) -> dict[str, Any]:
    """A choice whose text is `text`: its tokens are the likeliest by far, one after the other."""
    runner, ids = server.engine.runner, [*TOKENIZER.encode(text)]
    forward = runner.forward
    end = min(server.engine.form.ends_of_span)

    def dictated(runs: Any) -> Any:
        logits = forward(runs).copy()
        for row in logits:
            row[ids.pop(0) if ids else end] += 1000
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "forward", dictated)
        body = {"prompt": "x = ", "max_tokens": 40, "temperature": 0, "logprobs": 3}
        return asked(client, "/v1/completions", body)["choices"][0]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_page_places_the_tokens_of_an_answer(client: httpx.Client, server: Running) -> None:
    choice = answered(client, server, "é🎉 = 1")
    assert choice["text"] == "é🎉 = 1"
    found = choice["logprobs"]
    assert len(found["tokens"]) == len(TOKENIZER.encode("é🎉 = 1")) + 1  # and the end
    script = f"""
        import {{ placeTokens }} from {json.dumps(PAGE.as_uri())};
        console.log(JSON.stringify(placeTokens({json.dumps(choice["text"])}, {json.dumps(found)})))
    """
    order = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(order, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    placed = json.loads(done.stdout)
    assert "".join(each["token"] for each in placed) == choice["text"]
    spans = [(each["start"], each["end"], each["token"]) for each in placed]
    assert spans[:2] == [(0, 1, "é"), (1, 3, "🎉")]  # in UTF-16, as a page counts
    assert all(0 < each["p"] <= 1 for each in placed) and placed[-1]["top"]
