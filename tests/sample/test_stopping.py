from __future__ import annotations

import ast
import itertools
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.sample.stopping import Stopper, Stops
from codegen25.sample.stopping.lexer import Heads, Lexer
from codegen25.sample.stopping.reader import Reader, _go_on
from codegen25.sample.stopping.styles import OTHER, STYLES

CASES = sorted((Path(__file__).parent / "stops").glob("*.toml"))
SOURCE = Path(__file__).resolve().parents[2] / "src"
CUTS = 300

WORDS = st.sampled_from(
    [
        "x = 1", "return x", "def f(a):", "class A:", "if x:", "else:", "@cached", "import os",
        "# why", "    ", "\t", "\n", "\n", "\n    ", "\r\n", "(", ")", "[", "]", "{", "}", ", ",
        '"', "'", '"""', "\\", "f(x)", " ", "a", "é", "👩‍💻", "end", "0, 0, 0, ",
        "x = 1\n" * 7, "-" * 50,
    ]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=25).map("".join)
STOPS = st.builds(
    Stops,
    strings=st.sampled_from([(), (), ("\n\n",), ("x = 1\n", "= 1", "return"), ("aab", "abab")]),
    single_line=st.booleans(),
    indent=st.booleans(),
    brackets=st.booleans(),
    suffix_overlap=st.booleans(),
    repetition=st.booleans(),
    top_level=st.booleans(),
)
LANGUAGES = st.sampled_from(["python", "javascript", "ruby", "shell", "klingon"])


def run(stopper: Stopper, pieces: Sequence[str]) -> tuple[str, str | None]:
    """What is shown of an answer that arrives in pieces, and why it ended."""
    shown = [stopper.push(piece) for piece in pieces]
    shown.append(stopper.finish())
    assert "".join(shown) == stopper.text
    return stopper.text, stopper.reason


def split(text: str, places: Sequence[int]) -> list[str]:
    borders = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(borders)]


# ------------------------------------------------------------------------------ the pieces' sizes


@given(
    STOPS, TEXTS, TEXTS, TEXTS, LANGUAGES, st.lists(st.integers(0, 10**6), max_size=8),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_pieces_do_not_matter(
    stops: Stops, prefix: str, text: str, suffix: str, language: str, places: list[int], echo: bool
) -> None:
    text += suffix if echo else ""

    def answer(pieces: Sequence[str]) -> tuple[str, str | None]:
        return run(Stopper(stops, prefix, suffix, language), pieces)

    whole = answer([text])
    assert answer(list(text)) == whole
    assert answer(split(text, places)) == whole
    shown, reason = whole
    assert text.startswith(shown)
    assert reason is not None or shown == text


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_more_text_changes_nothing_that_is_over(prefix: str, text: str, suffix: str) -> None:
    stopper = Stopper(Stops.editor(), prefix, suffix)
    stopper.push(text)
    if stopper.reason is None:
        stopper.finish()
    before = stopper.text, stopper.reason
    assert stopper.push("x = 1\n") == stopper.finish() == ""
    assert (stopper.text, stopper.reason) == before


@given(st.lists(st.text(), max_size=5))
def test_without_stops_all_is_shown_at_once(pieces: list[str]) -> None:
    stopper = Stopper(Stops(), "(", ")")
    assert [stopper.push(piece) for piece in pieces] == pieces
    assert stopper.finish() == "" and stopper.reason is None


@given(TEXTS, LANGUAGES)
@settings(max_examples=100, deadline=None)
def test_reading_in_strides_is_reading(text: str, language: str) -> None:
    style = STYLES.get(language, OTHER)
    slow, fast, at, found = Lexer(style), Lexer(style), 0, []
    surplus = [i for i, char in enumerate(text) if slow.feed(char)]
    while at < len(text):
        at = fast.stride(text, at)
        if fast.feed(text[at]):
            found.append(at)
        at += 1
    assert found == surplus and vars(fast) == vars(slow)


# ----------------------------------------------------------------------------------- stop strings

LETTERS = st.text("ab\n", max_size=30)


@given(TEXTS, LANGUAGES)
@settings(max_examples=40, deadline=None)
def test_lines_that_were_read_before_are_not_read_again(text: str, language: str) -> None:
    """A prefix read as it is typed is the prefix read at once."""
    style = STYLES.get(language, OTHER)
    for end in range(len(text) + 1):
        prefix = text[:end]
        reader, lexer, heads = Reader(prefix, "", language), Lexer(style), Heads(style, -end)
        assert reader.before == list(_go_on(lexer, heads, prefix, -end))
        assert (reader.open, vars(reader._heads)) == (lexer.stack, vars(heads))
        kept = {name: value for name, value in vars(lexer).items() if name != "stack"}
        assert all(vars(reader._lexer)[name] == value for name, value in kept.items())


@given(LETTERS, st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=4))
@settings(deadline=None)
def test_stop_strings_as_a_plain_search_finds_them(text: str, strings: list[str]) -> None:
    stopper, shown = Stopper(Stops(strings=tuple(strings))), ""
    for end in range(1, len(text) + 1):
        shown += stopper.push(text[end - 1])
        complete = [end - len(string) for string in strings if text[:end].endswith(string)]
        if complete:
            assert shown == text[: min(complete)] and stopper.reason == "stop_string"
            return
        live = (n for s in strings for n in range(1, len(s)) if text[:end].endswith(s[:n]))
        assert shown == text[: end - max(live, default=0)], "held back more or less than needed"
    assert shown + stopper.finish() == text and stopper.reason is None


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UserError, match="stop string is empty"):
        Stops(strings=("a", ""))


# --------------------------------------------------------------------------------------- fixtures


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1, 3, 10**6])
def test_fixture(path: Path, size: int) -> None:
    case: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    stopper = Stopper(
        Stops.editor(single_line=case.get("single_line", False)),
        case["prefix"],
        case["suffix"],
        case.get("language", "python"),
    )
    text = case["generated"]
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert run(stopper, pieces) == (case["expected"], case["reason"] or None)


def test_each_reason_has_a_fixture() -> None:
    reasons = {tomllib.loads(path.read_text(encoding="utf-8"))["reason"] for path in CASES}
    wanted = "single_line indent brackets suffix_overlap suffix_line repetition top_level"
    assert reasons >= set(wanted.split())


@pytest.mark.parametrize(
    ("stops", "generated", "expected"),
    [
        (Stops(indent=True), "return b\n\nprint(1)\n", "return b"),
        (Stops(top_level=True), "return b\n\nprint(1)\ndef g():\n", "return b\n\nprint(1)"),
        (Stops(brackets=True), "return b)\n\nprint(1)\n", "return b)\n\nprint(1)\n"),
        (Stops(repetition=True), "x = 1\n" * 9, "x = 1"),
        (Stops(repetition=True), "x = " + "0, " * 99, None),
        (Stops(suffix_overlap=True), "a = 1\n\n# The end of it all.\n", "a = 1"),
    ],
)
def test_one_rule_alone(stops: Stops, generated: str, expected: str | None) -> None:
    stopper = Stopper(stops, "def f():\n    ", "\n# The end of it all.\n")
    text, reason = run(stopper, [generated])
    if expected is None:
        assert reason == "repetition" and generated.startswith(text) and len(text) < 40
    else:
        assert text == expected


def test_short_repetitions_pass() -> None:
    for text in ("#" + "-" * 98 + "\n", "x = [" + "0, " * 40 + "]\n", "    pass\n" * 4):
        assert run(Stopper(Stops(repetition=True)), [text]) == (text, None)


# ------------------------------------------------------------------------------------- smoothness


def test_an_editor_sees_words_as_they_come() -> None:
    """Each word inside a line is shown with the word, not with the line."""
    stopper = Stopper(Stops.editor(), "def f(values):\n    ", "\n\n\ndef g():\n    pass\n")
    lines = ["total = sum(values)", "\n    count = len(values)", "\n    return total / count"]
    for line in lines:
        shown = ""
        for length, char in enumerate(line, 1):
            shown += stopper.push(char)
            late = length - len(shown)
            assert late <= max(5, length - len(line[:length].rstrip())) or not shown, line[:length]
    assert stopper.text.endswith("return total / count")


def _lines_run(text: str, stopper: Stopper) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line" and "stopping" in frame.f_code.co_filename
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for i in range(0, len(text), 4):
            stopper.push(text[i : i + 4])
        stopper.finish()
    finally:
        sys.settrace(before)
    assert stopper.reason is None
    return count


def test_the_cost_of_a_character_does_not_grow() -> None:
    """Counted in lines of the stop machine that are run."""
    rng = Random(3)
    lines = [f"    value_{rng.random()} = call({rng.random()}, 'a')\n" for _ in range(160)]
    counts = [
        _lines_run("".join(lines[:n]), Stopper(Stops.editor(), "def f():\n", "    value_"))
        for n in (40, 160)
    ]
    assert len("".join(lines)) > 9_000
    assert counts[1] < 4.3 * counts[0], counts


# ----------------------------------------------------------------------------------- real answers


@cache
def functions() -> list[tuple[Path, str, int, int]]:
    """The functions of our own modules: file, its text, lines of the body."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                first = node.body[0].lineno
                if first > node.lineno:
                    found.append((path, text, first - 1, node.end_lineno))
    return found


def cuts(rng: Random, count: int) -> Iterator[tuple[str, str, str, str]]:
    """Spans of one to six whole lines inside a function: where, what stands around, the span."""
    for _ in range(count):
        path, text, low, high = rng.choice(functions())
        lines = text.splitlines(keepends=True)
        begin = rng.randrange(low, high)
        end = min(high, begin + rng.randint(1, 6))
        where = f"{path.name}:{begin + 1}"
        yield where, "".join(lines[:begin]), "".join(lines[begin:end]), "".join(lines[end:])


def test_what_people_wrote_is_left_alone() -> None:
    harmed = []
    for where, prefix, middle, suffix in cuts(Random(0), CUTS):
        text, reason = run(Stopper(Stops.editor(), prefix, suffix), [middle])
        if text != middle:
            harmed.append(f"{where} {reason}\n{middle}")
    assert len(harmed) <= 0.03 * CUTS, "\n".join(harmed)


def test_an_answer_that_goes_on_into_the_suffix_ends_where_it_should() -> None:
    missed = []
    for where, prefix, middle, suffix in cuts(Random(1), CUTS // 3):
        text, reason = run(Stopper(Stops.editor(), prefix, suffix), [middle + suffix[:2000]])
        if text.rstrip() != middle.rstrip():
            missed.append(f"{where} {reason} {len(text) - len(middle)}\n{middle}")
    assert len(missed) <= 0.05 * CUTS / 3, "\n".join(missed)
