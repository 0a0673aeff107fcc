"""Peers as processes: a driver of our own stands for the others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codegen25 import checkpoint
from codegen25.bench import shapes
from codegen25.bench.engines import peers
from codegen25.bench.engines.peers import NotRun, Running
from codegen25.bench.engines.serve import Session, shared_prefix

DRIVER = '''
import os, sys, time

class Driver:
    """Counts on from the last id of a prompt."""

    def __init__(self, asked):
        print("a library's chatter")
        if asked["format"] == "broken":
            raise RuntimeError("no such format\\nand more")

    def version(self):
        return {"name": "counter", "version": "1"}

    def generate(self, prompts, new):
        if new == 13:
            raise ValueError("thirteen")
        if new == 14:
            sys.exit("killed by fourteen")
        if new == 15:
            time.sleep(60)
        return [[p[-1] + i + 1 for i in range(new)] for p in prompts]

    def keystroke(self, prompt, new, keep):
        return len(prompt) - (keep or 0), self.generate([prompt], new)[0]
'''
ASKED = {"model": "", "format": "", "threads": 1}


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    (tmp_path / "counter.py").write_text(DRIVER)
    return tmp_path / "counter.py"


@pytest.fixture
def peer(driver: Path) -> Iterator[Running]:
    with Running(sys.executable, driver, ASKED) as running:
        yield running


def test_a_peer_answers_and_its_chatter_is_not_mistaken_for_answers(peer: Running) -> None:
    assert peer.about["name"] == "counter" and peer.about["threads"] == 1
    reply = peer.generate([[1, 2], [7]], 3)
    assert reply["tokens"] == [[3, 4, 5], [8, 9, 10]] and reply["ms"] >= 0
    assert peer.version()["peak_mb"] > 0


def test_keystrokes_reuse_what_prompt_and_answer_share(peer: Running) -> None:
    def recomputed(prompt: list[int], *, cache: bool = True) -> int:
        return int(peer.keystroke(prompt, 2, cache=cache)["recomputed"])

    assert recomputed([1, 2, 3]) == 3
    assert recomputed([1, 2, 3]) == 1  # one token at least gives the logits
    assert recomputed([1, 2, 3, 4, 9]) == 1  # 4 was its answer, whose last id it never read
    assert recomputed([1, 5, 3]) == 2
    assert recomputed([1, 5, 3], cache=False) == 3
    peer.generate([[1, 5, 3]], 1)
    assert recomputed([1, 5, 3]) == 3


def test_a_request_that_fails_leaves_the_peer_alive(peer: Running) -> None:
    with pytest.raises(NotRun, match="ValueError: thirteen"):
        peer.generate([[1]], 13)
    assert peer.generate([[1]], 1)["tokens"] == [[2]]


def test_a_peer_that_dies_says_its_last_line(peer: Running) -> None:
    with pytest.raises(NotRun, match="exited with 1: killed by fourteen"):
        peer.generate([[1]], 14)
    with pytest.raises(NotRun, match="exited with 1"):
        peer.generate([[1]], 1)


def test_a_peer_that_is_too_slow_is_given_up(peer: Running) -> None:
    with pytest.raises(NotRun, match="no answer in 0 s"):
        peer.generate([[1]], 15, seconds=0.2)


def test_the_reasons_of_a_peer_that_does_not_start(driver: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.py"
    absent.write_text("import surely_not_installed")
    with pytest.raises(NotRun, match=r"not installed .*surely_not_installed"):
        Running(sys.executable, absent, ASKED)
    with pytest.raises(NotRun, match=r"RuntimeError: no such format$"):
        Running(sys.executable, driver, ASKED | {"format": "broken"})
    with pytest.raises(NotRun, match="no-python"):
        Running(str(tmp_path / "no-python"), driver, ASKED)


def test_one_row_a_peer_whatever_happens(driver: Path) -> None:
    def begin(name: str) -> Running:
        return Running(sys.executable, driver, ASKED | {"format": name})

    found = peers.rows(["", "broken"], begin, lambda peer: peer.generate([[1]], 1))
    assert found[0]["tokens"] == [[2]] and found[0]["not run"] == ""
    assert found[1] == {"engine": "broken", "ms": "", "tokens": "",
                        "not run": "RuntimeError: no such format"}  # fmt: skip


def test_every_peer_has_a_driver() -> None:
    assert all((peers.HERE / peer.driver).is_file() for peer in peers.PEERS.values())


@given(*[st.lists(st.integers(0, 2), max_size=8)] * 2)
def test_shared_prefix(a: list[int], b: list[int]) -> None:
    n = shared_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_what_is_kept_never_covers_the_whole_prompt() -> None:
    class Spy:
        kept: list[int] = []  # noqa: RUF012

        def keystroke(self, prompt: list[int], new: int, keep: int) -> tuple[int, list[int]]:
            self.kept.append(keep)
            return 0, [9] * new

    session = Session(Spy(), 1)
    for prompt in ([1, 2], [1, 2], [1]):
        session.answer({"op": "keystroke", "prompt": prompt, "new": 2, "cache": True})
    assert Spy.kept == [0, 1, 0]


@pytest.mark.slow
def test_transformers_writes_our_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = replace(shapes.SHAPES["1m"], vocab_size=700, max_position_embeddings=256)
    shapes.write(tmp_path / "model", config)
    prompts = [[5, 9, 300, 41], [17, 4]]
    with peers.start("transformers fp32", tmp_path / "model", tmp_path, sys.executable) as peer:
        together = peer.generate(prompts, 12)["tokens"]
        first = peer.keystroke(prompts[0], 12, cache=True)
        second = peer.keystroke([*prompts[0], 8], 12, cache=True)
    expected = [greedy(tmp_path / "model", prompt, 12) for prompt in (*prompts, [*prompts[0], 8])]
    assert [*together, second["tokens"]] == expected
    assert first["tokens"] == expected[0]
    assert (first["recomputed"], second["recomputed"]) == (4, 1)


@torch.inference_mode()
def greedy(folder: Path, prompt: list[int], new: int) -> list[int]:
    """Our model's likeliest ids, the ends of a text left out."""
    loaded = checkpoint.load(folder)
    ids = list(prompt)
    for _ in range(new):
        logits = loaded.model(torch.tensor([ids]))[0, -1]
        logits[sorted(loaded.form.ends_of_span)] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]
