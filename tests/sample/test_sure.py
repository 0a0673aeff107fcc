"""An answer that ends where the model is unsure of it is the beginning of the one that does not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pytest

from codegen25.errors import UserError
from codegen25.models import DEFAULT, resolve
from codegen25.sample.answer import UNSURE, Answer
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Request
from codegen25.sample.session import Options, Session
from codegen25.sample.stopping import Stopper, Stops

PLACES = [
    ("def area(width, height):\n    return ", "\n"),
    (
        "import os\n\n\nclass Shelf:\n    def __init__(self, items):\n        self.",
        "\n",
    ),
    ("for name in names:\n    if name not in ", ":\n        count += 1\n"),
    ("def total(rows):\n    result = 0\n", "    return result\n"),
    ("", "\n\nprint(total([1, 2]))\n"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    yield Engine.load(resolve(DEFAULT))


def asked(engine: Engine, place: int, sure: float, **more: int) -> Completion:
    prefix, suffix = PLACES[place]
    sampling = Sampling(sure=sure, logprobs=more.get("logprobs", 0))
    prompt = engine.prompt(prefix, suffix, max_tokens=24)
    request = Request(prompt, 24, sampling, prefix=prefix, suffix=suffix, stops=Stops())
    pieces: list[str] = []
    done = engine.wait(engine.submit(request, lambda piece: pieces.append(piece.text)))
    assert "".join(pieces) == done.text
    return done


@pytest.mark.parametrize("place", range(len(PLACES)))
@pytest.mark.parametrize("sure", [0.02, 0.2, 0.5, 0.9])
def test_it_is_the_likely_beginning(engine: Engine, place: int, sure: float) -> None:
    whole = asked(engine, place, 0.0, logprobs=1)
    part = asked(engine, place, sure)
    sums = [sum(each.logprob for each in whole.logprobs[:i]) for i in range(whole.tokens + 1)]
    kept = next((i for i, s in enumerate(sums) if s < math.log(sure)), whole.tokens + 1) - 1
    if kept >= whole.tokens - (whole.stop_reason == "end"):
        assert (part.text, part.stop_reason) == (whole.text, whole.stop_reason)
        return
    assert (part.stop_reason, part.rule, part.tokens) == ("stop", UNSURE, kept)
    likely = engine.tokenizer.decode([each.id for each in whole.logprobs[:kept]])
    following = engine.tokenizer.decode([whole.logprobs[kept].id])
    goes_on = re.match(r"\w", following) is not None
    settled = re.sub(r"\w+$", "", likely) if goes_on else likely
    assert part.text == settled.rstrip()


@pytest.mark.parametrize("place", range(len(PLACES)))
@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("stops", [Stops(), Stops(("\n",)), Stops(("e",)), Stops.editor()])
def test_the_least_bound_changes_nothing(
    engine: Engine, place: int, temperature: float, stops: Stops
) -> None:
    prefix, suffix = PLACES[place]
    found = []
    for sure in (0.0, 1e-300):
        prompt = engine.prompt(prefix, suffix, max_tokens=16)
        sampling = Sampling(temperature, sure=sure)
        request = Request(prompt, 16, sampling, prefix=prefix, suffix=suffix, stops=stops)
        done = engine.wait(engine.submit(request))
        found.append((done.text, done.stop_reason, done.rule, done.tokens))
    assert found[0] == found[1]


def test_a_word_that_is_typed_is_no_doubt(engine: Engine) -> None:
    """Healing forces what was typed of a token; only what goes beyond it is weighed."""
    session = Session(engine, Options(16, Sampling(sure=0.3)))
    whole = Session(engine, Options(16, Sampling()))
    text = "import os\n\n\nclass Shelf:\n    def __init__(self, items):\n        self.it"
    for end in range(len(text) - 12, len(text) + 1):
        part, full = (each.suggest(text[:end], "\n") for each in (session, whole))
        assert full.text.startswith(part.text)
    assert Session(engine, Options(16, Sampling(sure=1.0))).suggest(text, "\n").text == ""


def test_half_a_character_goes_on() -> None:
    answer = Answer.__new__(Answer)
    for open_, refused, shown in (
        (" caf", "", ""), (" caf", "é", ""), (" caf", "(", " caf"), (" = x ", "if", " = x"),
        (" x\n    ", "y", " x"), ("", "", ""),
    ):  # fmt: skip
        answer._open, answer._refused = open_, refused
        answer._stopper = Stopper(Stops(), "", "", "python")
        assert answer._rest("stop", UNSURE) == shown


def test_surer_is_shorter(engine: Engine) -> None:
    for place in range(len(PLACES)):
        lengths = [len(asked(engine, place, sure).text) for sure in (0.0, 0.05, 0.3, 0.8, 1.0)]
        assert lengths == sorted(lengths, reverse=True)
    assert sum(len(asked(engine, place, 1.0).text) for place in range(len(PLACES))) == 0


def test_probabilities_are_of_what_is_said(engine: Engine) -> None:
    for place in range(len(PLACES)):
        part = asked(engine, place, 0.3, logprobs=2)
        assert len(part.logprobs) == part.tokens
        assert sum(each.logprob for each in part.logprobs) >= math.log(0.3)


def test_it_is_a_share() -> None:
    with pytest.raises(UserError, match=r"sure is 1\.5"):
        Sampling(sure=1.5)
