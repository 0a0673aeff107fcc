from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from codegen25.data.documents import Document
from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.model import Llama, initialize
from codegen25.tokenizer import Tokenizer
from codegen25.train import pairs
from codegen25.train.objective import IGNORE
from codegen25.train.pairs import Given, PairRows, Turn, of, question, read
from codegen25.train.recipe import Shape
from codegen25.train.turns import Conversation
from conftest import split_of

ALPACA = {"instruction": "Add two numbers.", "input": "a, b", "output": "return a + b"}
CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]
}
SHARE = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
PLAIN = {"prompt": "def f(x):\n", "completion": "    return x\n"}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    return path


def test_every_form_is_read(tmp_path: Path) -> None:
    alpaca, chat, share, plain = read(written(tmp_path, ALPACA, CHAT, SHARE, PLAIN))
    assert alpaca == (Turn(question("Add two numbers.", "a, b"), "return a + b"),)
    assert "### Input:\na, b\n\n### Response:\n" in alpaca[0].prompt
    assert [turn.response for turn in chat] == ["1", "2"]
    assert chat[0].prompt == question("Be brief.\n\nOne?")
    assert chat[1].prompt == question("Two?", first=False) and "Below" not in chat[1].prompt
    assert share == (Turn(question("Hi"), "Hello"),)
    assert plain == (Turn("def f(x):\n", "    return x\n"),)


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "x"},
        {"prompt": "x"},
        {"prompt": 3, "response": "y"},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x"}]},
        {},
        [1],
        "text",
    ],
)
def test_a_row_that_holds_no_pair_is_named(tmp_path: Path, row: object) -> None:
    with pytest.raises(UserError, match=r"pairs\.jsonl: line 2 holds no pair"):
        read(written(tmp_path, PLAIN, row))


def test_files_that_hold_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "pairs.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "pairs.jsonl")
    (tmp_path / "pairs.jsonl").write_text("{\n")
    with pytest.raises(UserError, match="line 1"):
        read(tmp_path / "pairs.jsonl")
    with pytest.raises(UserError, match="no pairs"):
        read(written(tmp_path))


def rows(tokenizer: Tokenizer, *texts: tuple[str, str], length: int = 64) -> PairRows:
    return PairRows([(Turn(*pair),) for pair in texts], tokenizer, length)


def test_only_answers_and_their_end_carry_loss(tokenizer: Tokenizer) -> None:
    pairs = [("def f(x):\n", "    return x\n"), ("x = ", "1\n")]
    packed = rows(tokenizer, *pairs)
    inputs, targets, answers = packed.arrays(0, 0)
    assert len(packed) == 1 and ((targets != IGNORE) == answers).all()
    expected = [i for _, response in pairs for i in (*tokenizer.encode(response), packed.end)]
    assert targets[answers].tolist() == expected
    assert packed.bytes(0) == sum(len(response) for _, response in pairs)
    # The input before each target is what stands before it in its conversation.
    first = tokenizer.encode(pairs[0][0])
    assert inputs[: len(first)].tolist() == first and targets[len(first) - 1] == expected[0]


def test_only_the_bytes_of_answers_that_fit_the_row_count(tokenizer: Tokenizer) -> None:
    prompt, response = "def f(x):\n", "    return 'äöü' + x\n" * 40
    packed = rows(tokenizer, (prompt, response))
    _, targets, answers = packed.arrays(0, 0)
    kept = tokenizer.decode(targets[answers].tolist()).rstrip("\ufffd")
    assert response.startswith(kept) and len(tokenizer.encode(response)) > 64
    assert packed.bytes(0) == len(kept.encode()) < len(response.encode())
    # Of a second turn, which begins behind the row's end, nothing counts.
    first, second = Turn(prompt, "    return x\n"), Turn("y = " * 80, "2\n")
    assert PairRows([(first, second)], tokenizer, 64).bytes(0) == len(first.response)


def test_every_pair_is_in_a_row_once_or_counted(tokenizer: Tokenizer) -> None:
    pairs = [(f"a{i} = ", f"{i} + {i}\n") for i in range(40)] + [("word " * 80, "y")]
    packed = rows(tokenizer, *pairs)
    found = []
    for i in range(len(packed)):
        _, targets, _ = packed.arrays(i, 0)
        ends = np.flatnonzero(targets == packed.end)
        found += [targets[: ends[k] + 1] for k in range(len(ends))]
    assert len(found) == 40 and packed.too_long == 1
    none = rows(tokenizer, ("word " * 80, "y"))
    assert (len(none), none.too_long) == (0, 1)


def test_a_pair_goes_into_the_fullest_row_that_has_room(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packed() -> list[int]:
        made = rows(tokenizer, *(("", str(size)) for size in (40, 50, 8, 20)), length=59)
        return [made.bytes(i) for i in range(len(made))]

    def encoded(conversation: Conversation, *_: object) -> tuple[list[int], list[bool], int]:
        size = int(conversation[0].response)
        return [1] * size, [True] * size, size

    monkeypatch.setattr(pairs, "_encoded", encoded)
    assert packed() == [40 + 20, 50 + 8]
    monkeypatch.setattr(pairs, "OPEN", 3)
    assert packed() == [40 + 20, 50 + 8]
    monkeypatch.setattr(pairs, "OPEN", 1)  # the emptiest stays open
    assert packed() == [40 + 8, 50, 20]


def test_nothing_leaks_between_conversations(tokenizer: Tokenizer) -> None:
    model = Llama(Shape(layers=2, hidden=32, heads=2, context=64).config(tokenizer.vocab_size))
    initialize(model, torch.Generator().manual_seed(0))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    pairs = [("def f(x):\n", "    return x\n"), ("y = ", "2\n"), ("z", " = 3\n")]
    packed = rows(tokenizer, *pairs)
    inputs, _, _ = packed.arrays(0, 0)
    documents = packed.documents(0)
    ids, numbers = torch.from_numpy(inputs)[None], torch.from_numpy(documents)[None]
    together = model(ids, documents=numbers)[0]
    for number in range(3):
        place = np.flatnonzero(documents == number)
        alone = model(ids[:, place])[0]
        torch.testing.assert_close(together[place], alone, rtol=1e-4, atol=1e-4)


def test_of_a_file_with_hundreds_one_of_fifty_is_held_out(tmp_path: Path, corpus: Path) -> None:
    def given(count: int, alike: int = 2) -> Given:
        rows = ({"prompt": f"{i // alike} = ", "response": f"{i}"} for i in range(count))
        return of(str(written(tmp_path, *rows)), text, text)

    text = TextShard(corpus)
    trained, held = given(2000)
    assert sorted(map(repr, trained + held)) == sorted(map(repr, read(tmp_path / "pairs.jsonl")))
    assert 10 < len(held) < 90 and held != sorted(held, key=lambda each: int(each[0].response))
    asked = {pair[0].prompt for pair in held}
    assert len(held) == 2 * len(asked) and not asked & {pair[0].prompt for pair in trained}
    assert [len(each) for each in given(499)] == [499, 0]
    # Where one question is asked so often that all who ask it would be held out, none is.
    assert all(len(given(600, alike).held) <= 36 for alike in (20, 100, 300, 600))


def test_mined_pairs_are_held_out_with_their_text(tmp_path: Path) -> None:
    def function(name: str) -> str:
        body = "    found = x + x\n    return found - x if found else x\n"
        return f'def {name}(x):\n    """Return {name} of the number x, whatever."""\n{body}'

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    trained = split_of(tmp_path / "a", Document(function("one"), "a.py", "p", language="python"))
    both = [
        Document(function(name), f"{name}.py", "q", language="python") for name in ("one", "two")
    ]
    held = split_of(tmp_path / "b", *both, split="heldout")
    made = of("docstrings", trained, held)
    assert ["one" in pair[0].response for pair in made.trained] == [True]
    assert ["two" in pair[0].response for pair in made.held] == [True]


def test_no_more_rows_are_made_than_asked_for(tokenizer: Tokenizer) -> None:
    asked = [(Turn(f"{i} = ", "x" * 20),) for i in range(50)]
    whole, some = PairRows(asked, tokenizer, 64), PairRows(asked, tokenizer, 64, 3)
    assert len(some) == 3 < len(whole)
    assert all((some.arrays(i, 0)[0] == whole.arrays(i, 0)[0]).all() for i in range(3))
