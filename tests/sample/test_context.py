"""Context gathered from an index in memory, rendered to ids, and held while the user types."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT
from codegen25.sample.context import (
    DEFINITION,
    EDIT,
    SIMILAR,
    Edit,
    Pinned,
    Snippet,
    Style,
    View,
    gather,
    render,
)
from codegen25.sample.context.gather import WORTH
from codegen25.sample.context.render import FILENAME
from codegen25.sample.context.similar import overlap
from codegen25.tokenizer import Tokenizer

TANK = '''"""A tank."""


def fill(tank: dict[str, float], litres: float) -> float:
    """Fill a tank; what does not fit comes back."""
    room = tank["capacity"] - tank["level"]
    tank["level"] += min(room, litres)
    return max(0.0, litres - room)
'''
CAR = """from tank import fill


def refuel(car, litres):
    rest = fill(car.tank, litres)
    car.journal.append(("refuelled", litres - rest, car.odometer))
    return rest
"""
LORRY = "from tank import fill\n\n\ndef refuel_lorry(lorry, litres):\n    rest = "
FILES = {
    "tank.py": TANK,
    "car.py": CAR,
    "notes/plants.py": "def water(plant):\n    plant.wet = 1\n",
}


def test_sources_are_mixed_and_ranked() -> None:
    edits = [
        Edit("bus.py", "def refuel_bus(bus, litres):\n    return fill(bus.tank, litres)\n", 1.0)
    ]
    text = LORRY + "fill(lorry.tank, "
    snippets = gather(View.of(FILES), "lorry.py", text, "\n    return rest\n", edits)
    assert {each.kind for each in snippets} == {DEFINITION, EDIT, SIMILAR}
    definition = Snippet("tank.py", TANK[14:].strip("\n"), WORTH[DEFINITION], DEFINITION, 4)
    assert definition in snippets
    assert [each.score for each in snippets] == sorted((e.score for e in snippets), reverse=True)
    assert not any(overlap(a, b) for i, a in enumerate(snippets) for b in snippets[:i])


def test_gather_needs_nothing() -> None:
    assert gather(View(), "a.py", "", "") == []
    assert gather(View.of(FILES), "x.unknown", "fill", "") == []


@given(st.text(max_size=80), st.text(max_size=80))
def test_gather_takes_any_text(prefix: str, suffix: str) -> None:
    gather(View.of(FILES), "car.py", CAR + prefix, suffix, [Edit("a.py", prefix, 0.0)])


LINES = st.text(alphabet="ab =()\n\u00e9\ud800", max_size=60)
SNIPPETS = st.lists(
    st.builds(
        Snippet,
        path=st.sampled_from(["a.py", "b.js", "c\nd.py", "e\udcff.py"]),
        text=LINES,
        score=st.floats(0.01, 1),
        kind=st.sampled_from([DEFINITION, EDIT, SIMILAR]),
        line=st.integers(1, 99),
    ),
    max_size=8,
)


@given(snippets=SNIPPETS, budget=st.integers(-1, 200))
@settings(deadline=None)
def test_the_budget_holds(tokenizer: Tokenizer, snippets: list[Snippet], budget: int) -> None:
    ids = render(snippets, tokenizer, budget)
    assert len(ids) <= max(0, budget)
    assert ids == render(snippets[::-1], tokenizer, budget)


@given(snippets=SNIPPETS, scores=st.lists(st.floats(0.01, 1), min_size=8, max_size=8))
def test_scores_choose_but_do_not_order(
    tokenizer: Tokenizer, snippets: list[Snippet], scores: list[float]
) -> None:
    moved = [
        Snippet(each.path, each.text, score, each.kind, each.line)
        for each, score in zip(snippets, scores, strict=False)
    ]
    assert render(snippets, tokenizer, 10**6) == render(moved, tokenizer, 10**6)


def test_the_best_that_fit_are_taken(tokenizer: Tokenizer) -> None:
    small, large = "x = 1", "\n".join(f"value_{i} = {i}" for i in range(99))
    snippets = [
        Snippet("a.py", small, 0.5, SIMILAR), Snippet("b.py", large, 1.0, SIMILAR),
        Snippet("c.py", small, 0.1, DEFINITION),
    ]  # fmt: skip
    text = f"# a.py\n{small}\n# c.py\n{small}\n"
    assert tokenizer.decode(render(snippets, tokenizer, 60)) == text
    assert large in tokenizer.decode(render(snippets, tokenizer, 10**4))


def test_snippets_of_a_file_stand_together(tokenizer: Tokenizer) -> None:
    snippets = [
        Snippet("a.js", "later", 0.5, DEFINITION, 9), Snippet("a.js", "first", 0.4, DEFINITION, 2),
        Snippet("z.py", "edit", 0.3, EDIT),
    ]  # fmt: skip
    assert tokenizer.decode(render(snippets, tokenizer, 999)) == (
        "# z.py\nedit\n// a.js\nfirst\n\nlater\n"
    )


def test_user_text_is_never_a_special_token(tokenizer: Tokenizer) -> None:
    text = f"s = '{END_OF_TEXT}{FILENAME}'"
    ids = render([Snippet(f"{FILENAME}.py", text, 1.0, SIMILAR)], tokenizer, 999)
    assert not any(map(tokenizer.is_special, ids))
    marked = render([Snippet("a.py", text, 1.0, SIMILAR)], tokenizer, 999, style=Style.FILENAME)
    assert [i for i in marked if tokenizer.is_special(i)] == [
        tokenizer.special(FILENAME), tokenizer.special(END_OF_TEXT),
    ]  # fmt: skip
    assert tokenizer.decode(marked) == f"{FILENAME}a.py\n{text}\n{END_OF_TEXT}"


def test_a_style_without_its_token_is_an_error(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "special", lambda name: None)
    with pytest.raises(UserError, match="comment style"):
        render([], tokenizer, 99, style=Style.FILENAME)
    ids = render([Snippet("a.py", "x = 1", 1.0, SIMILAR)], tokenizer, 99)
    assert tokenizer.decode(ids) == "# a.py\nx = 1\n"


def test_pinned_until_the_cursor_moves_or_time_passes() -> None:
    now = [0.0]
    made: list[int] = []

    def make() -> list[int]:
        made.append(len(made))
        return list(made)

    pinned = Pinned(seconds=10, clock=lambda: now[0])
    first = "import a\n\ndef one(x):\n    "
    kept = pinned.ids("a.py", first, 99, make)
    for typed in ("r", "return", "return x", "return x\n    ", "if x:\n        y"):
        assert pinned.ids("a.py", first + typed, 99, make) is kept
    second = f"{first}return x\n\ndef two(x):\n    y"
    changes = [("a.py", second, 99), ("b.py", second, 99), ("b.py", second, 50)]
    for count, (path, prefix, budget) in enumerate(changes, 2):
        pinned.ids(path, prefix, budget, make)
        pinned.ids(path, prefix + "z", budget, make)
        assert len(made) == count
    now[0] = 10.0
    assert len(pinned.ids("b.py", second, 50, make)) == 5
    pinned.drop()
    assert len(pinned.ids("b.py", second, 50, make)) == 6
