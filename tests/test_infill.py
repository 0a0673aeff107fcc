from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25 import infill
from codegen25.errors import UserError
from codegen25.infill import Corruption, Format, Layout, Sentinels
from codegen25.tokenizer import Tokenizer

ALWAYS = Corruption(rate=1.0)
PLAIN_SPANS = Corruption(rate=1.0, document_start=0.0, anchored=0.0)
corruptions = st.builds(
    Corruption,
    rate=st.just(1.0),
    mask_ratio=st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
    max_spans=st.integers(1, 40),
    min_characters=st.integers(2, 20),
    uniform_length=st.booleans(),
    document_start=st.floats(0, 0.5),
    anchored=st.floats(0, 0.5),
    whole_lines=st.floats(0, 0.3),
    line_end=st.floats(0, 0.3),
    line_start=st.floats(0, 0.3),
)
texts = st.text(max_size=400) | st.lists(st.sampled_from(["\n", "    x = 1\n", "π", "a"])).map(
    "".join
)


@given(texts, st.integers(0, 2**32), corruptions)
def test_corruption_is_reversible_for_any_text(
    text: str, seed: int, corruption: Corruption
) -> None:
    corrupted = infill.corrupt(text, Random(seed), corruption)
    if corrupted is not None:
        assert infill.restore(corrupted) == text
        assert all(corrupted.spans)
        assert all(corrupted.kept[1:-1])
        assert len(corrupted.spans) <= corruption.max_spans


@given(text=texts, seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_encoded_corruption_is_reversible(tokenizer: Tokenizer, text: str, seed: int) -> None:
    sentinels = Sentinels.of(tokenizer)
    assert sentinels is not None
    corrupted = infill.corrupt(text, Random(seed), ALWAYS)
    if corrupted is not None:
        ids = infill.encode_corrupted(corrupted, tokenizer, sentinels)
        assert infill.decode_corrupted(ids, tokenizer, sentinels) == corrupted
        assert ids.count(sentinels.end_of_middle) == len(corrupted.spans)
        assert ids[-1] == sentinels.end_of_text
        alias = tokenizer.special(infill.ALIAS)
        short = infill.encode_corrupted(corrupted, tokenizer, sentinels, alias)
        assert len(short) == len(ids) - 2
        assert infill.decode_corrupted(short, tokenizer, sentinels, alias) == corrupted
        flags, after = infill.in_answer(ids, sentinels), short.index(alias) + 1
        short_flags = infill.in_answer(short, sentinels, alias)
        assert short_flags.index(True) == after
        assert sum(flags) == sum(short_flags) + 1  # `<mask_1>` is part of the alias


@given(texts, st.integers(0, 2**32), corruptions)
def test_token_spans_are_whole_tokens(
    tokenizer: Tokenizer, text: str, seed: int, corruption: Corruption
) -> None:
    borders = tokenizer.borders(text)
    assert borders == sorted(set(borders)) and {0, len(text)} == {borders[0], borders[-1]}
    corrupted = infill.corrupt(
        text, Random(seed), replace(corruption, tokens=True), borders=tokenizer.borders
    )
    if corrupted is not None:
        assert infill.restore(corrupted) == text and all(corrupted.kept[1:-1])
        at = 0
        for kept, span in zip(corrupted.kept, corrupted.spans, strict=False):
            assert {at + len(kept), at + len(kept) + len(span)} <= set(borders)
            at += len(kept) + len(span)


def test_token_spans_are_drawn(tokenizer: Tokenizer, source_texts: list[str]) -> None:
    some = replace(ALWAYS, tokens=True)
    drawn = infill.corrupt(source_texts[0], Random(7), some, borders=tokenizer.borders)
    assert drawn is not None and drawn != infill.corrupt(source_texts[0], Random(7), ALWAYS)


def test_spans_move_to_the_nearest_borders() -> None:
    borders = [0, 4, 8, 12, 16]
    assert infill.aligned([(1, 5), (7, 11)], borders) == [(0, 4), (8, 12)]
    assert infill.aligned([(3, 9)], borders) == [(4, 8)]  # shorter
    assert infill.aligned([(5, 7), (13, 15)], borders) == [(4, 8), (12, 16)]
    assert infill.aligned([(1, 2)], borders) == [(0, 4)]  # out, or nothing would be left
    assert infill.aligned([(4, 8)], borders) == [(4, 8)]
    assert infill.aligned([(1, 7), (9, 11)], borders) == [(0, 8)]  # one touches
    assert infill.aligned([(1, 15)], borders) == []  # the whole text


def test_spans_of_tokens_are_as_long_on_average(
    tokenizer: Tokenizer, source_texts: list[str]
) -> None:
    def length(corruption: Corruption) -> float:
        drawn = [
            infill.corrupt(text, Random(seed), corruption, borders=tokenizer.borders)
            for text in source_texts[:4]
            for seed in range(100)
        ]
        spans = [span for each in drawn if each is not None for span in each.spans]
        return sum(map(len, spans)) / len(spans)

    some = replace(ALWAYS, mask_ratio=(0.0, 0.02), whole_lines=0.0)
    assert length(replace(some, tokens=True)) == pytest.approx(length(some), rel=0.05)


def test_the_same_seed_gives_the_same_corruption(source_texts: list[str]) -> None:
    first = infill.corrupt(source_texts[0], Random(7), ALWAYS)
    assert first == infill.corrupt(source_texts[0], Random(7), ALWAYS)
    assert first != infill.corrupt(source_texts[0], Random(8), ALWAYS)


def test_the_rate_decides_how_many_documents_stay_causal(source_texts: list[str]) -> None:
    def corrupted(rate: float) -> int:
        draws = (infill.corrupt(source_texts[0], Random(i), Corruption(rate)) for i in range(1000))
        return sum(draw is not None for draw in draws)

    assert corrupted(0.0) == 0
    assert corrupted(1.0) == 1000
    assert 430 < corrupted(0.5) < 570


def test_every_kind_of_span_comes_at_its_documented_share(source_texts: list[str]) -> None:
    text = "".join(source_texts)[:4000]
    starts = [infill.draw_spans(text, Random(i), ALWAYS, 16) for i in range(2000)]
    at_start = sum(len(spans) == 1 and spans[0][0] == 0 for spans in starts) / len(starts)
    assert at_start == pytest.approx(ALWAYS.document_start, abs=0.05)
    spans = [
        span for i in range(500) for span in infill.draw_spans(text, Random(i), PLAIN_SPANS, 16)
    ]
    whole = [
        (start == 0 or text[start - 1] == "\n") and text[end - 1] == "\n" for start, end in spans
    ]
    line_ends = [text[end : end + 1] == "\n" for _, end in spans]
    assert sum(whole) / len(spans) == pytest.approx(PLAIN_SPANS.whole_lines, abs=0.08)
    assert sum(line_ends) / len(spans) == pytest.approx(PLAIN_SPANS.line_end, abs=0.1)


def test_short_documents_and_full_rows_stay_causal() -> None:
    assert infill.corrupt("x = 1\n", Random(0), ALWAYS) is None
    assert infill.corrupt("x = 1\n" * 100, Random(0), ALWAYS, max_spans=0) is None


def test_the_masked_share_stays_in_its_bounds(source_texts: list[str]) -> None:
    bounded = Corruption(rate=1, mask_ratio=(0.1, 0.2), document_start=0, anchored=0)
    text = "".join(source_texts)[:8000]
    shares = []
    for seed in range(200):
        spans = infill.draw_spans(text, Random(seed), bounded, 400)
        shares.append(sum(end - start for start, end in spans) / len(text))
    assert min(shares) >= 0.1 and sum(shares) / len(shares) < 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 1.5},
        {"mask_ratio": (0.5, 0.1)},
        {"max_spans": 0},
        {"whole_lines": 0.8, "line_end": 0.8},
        {"line_weights": ()},
        {"line_weights": (0.0,)},
        {"line_weights": (1.0, -1.0)},
    ],
)
def test_a_distribution_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="corruption"):
        Corruption(**wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------ prompts


@pytest.fixture(scope="module")
def form(tokenizer: Tokenizer) -> Format:
    return Format.of(tokenizer)


def spelled(tokenizer: Tokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids)


def test_the_plain_layout_is_the_model_cards(tokenizer: Tokenizer, form: Format) -> None:
    prompt = infill.compose("def f():\n    ", "    return x", tokenizer, form, budget=200)
    assert spelled(tokenizer, prompt.ids) == (
        "def f():\n    <mask_1>    return x<|endoftext|><sep><mask_1>"
    )
    assert prompt.layout is Layout.PLAIN


def test_the_original_prompt_has_the_publishers_ids(tiktoken_cache: object) -> None:
    from codegen25.vocabulary import codegen25

    original = codegen25()
    form = Format.of(original)
    prompt = infill.compose("prefix", "suffix", original, form, budget=100)
    assert prompt.ids == [40290, 51199, 37333, 844, 50256, 50317, 51199]
    assert prompt.ends == {50256, 50318}


def test_suffix_first_puts_the_prefix_behind_the_sentinels(
    tokenizer: Tokenizer, form: Format
) -> None:
    compose = lambda anchor: infill.compose(  # noqa: E731
        "import os\nx = o", "\ny\n", tokenizer, form, budget=99, layout=Layout.SUFFIX_FIRST,
        anchor=anchor,
    )  # fmt: skip
    whole, anchored = compose(0), compose(10)
    assert spelled(tokenizer, whole.ids) == (
        "<mask_1>\ny\n<|endoftext|><sep><mask_1>import os\nx = o"
    )
    assert spelled(tokenizer, anchored.ids) == (
        "import os\n<mask_1>\ny\n<|endoftext|><sep><mask_1>x = o"
    )


def test_typing_in_the_suffix_first_layout_only_appends(tokenizer: Tokenizer, form: Format) -> None:
    def ids(prefix: str) -> list[int]:
        layout = Layout.SUFFIX_FIRST
        return infill.compose(prefix, "\n", tokenizer, form, budget=99, layout=layout).ids

    before, after = ids("x = foo"), ids("x = foo(")
    assert after[: len(before)] == before


def test_the_causal_layout_is_the_text_itself(tokenizer: Tokenizer, form: Format) -> None:
    prompt = infill.compose("x = ", "y", tokenizer, form, budget=99, layout=Layout.CAUSAL)
    assert prompt.ids == tokenizer.encode("x = ")


def test_fill_in_the_middle_is_only_asked_for_where_the_config_says_so(
    tokenizer: Tokenizer,
) -> None:
    assert Layout.PSM not in Format.of(tokenizer).layouts
    named = {"prefix": "<fim_prefix>", "suffix": "<fim_suffix>", "middle": "<fim_middle>"}
    form = Format.of(tokenizer, {"infill": named})

    def text(layout: Layout) -> str:
        prompt = infill.compose("a", "b", tokenizer, form, budget=99, layout=layout)
        return spelled(tokenizer, prompt.ids)

    assert text(Layout.PSM) == "<fim_prefix>a<fim_suffix>b<fim_middle>"
    assert text(Layout.SPM) == "<fim_prefix><fim_suffix>b<fim_middle>a"


class Foreign:
    """A vocabulary that infills by other names."""

    longest_token = 4

    def __init__(self, *specials: str) -> None:
        self.specials = specials

    def special(self, name: str) -> int | None:
        return self.specials.index(name) if name in self.specials else None

    def encode(self, text: str) -> list[int]:
        return [100 + ord(c) for c in text]

    def decode(self, ids: object) -> str:
        raise NotImplementedError

    def is_special(self, token: int) -> bool:
        return token < len(self.specials)

    def cut(self, text: str, room: int, *, keep_end: bool) -> str:
        return text[-room:] if keep_end else text[:room]


def test_sentinels_named_in_the_config_win() -> None:
    foreign = Foreign("<a>", "<b>", "<c>", "<end>", "<fim_prefix>")
    named = {"prefix": "<a>", "suffix": "<b>", "middle": "<c>", "ends": ["<end>"]}
    form = Format.of(foreign, {"infill": named, "eos_token_id": [3, 9]})
    assert form.layouts == (Layout.PSM, Layout.SPM, Layout.CAUSAL)
    assert form.ends == {3}  # 9 is an ordinary token here, so no end
    assert infill.compose("x", "y", foreign, form, budget=9).ids == [0, 220, 1, 221, 2]


def test_known_families_need_no_config() -> None:
    qwen = Foreign("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    assert Format.of(qwen).layouts[0] is Layout.PSM
    assert Format.of(Foreign()).layouts == (Layout.CAUSAL,)


def test_named_sentinels_that_do_not_exist_are_an_error() -> None:
    with pytest.raises(UserError, match="lacks the infill tokens"):
        Format.of(Foreign(), {"infill": {"prefix": "<a>", "suffix": "<b>", "middle": "<c>"}})
    with pytest.raises(UserError, match="middle"):
        Format.of(Foreign(), {"infill": {"prefix": "<a>", "suffix": "<b>"}})


def test_a_layout_the_model_was_not_trained_for_is_an_error() -> None:
    with pytest.raises(UserError, match="no plain layout"):
        infill.compose("a", "b", Foreign(), Format.of(Foreign()), budget=9, layout=Layout.PLAIN)


def test_several_holes_are_asked_for_one_after_the_other(
    tokenizer: Tokenizer, form: Format
) -> None:
    first = infill.compose_holes(["a", "b", "c"], [], tokenizer, form)
    second = infill.compose_holes(["a", "b", "c"], ["X"], tokenizer, form)
    assert spelled(tokenizer, first.ids) == "a<mask_1>b<mask_2>c<|endoftext|><sep><mask_1>"
    assert second.ids[: len(first.ids)] == first.ids
    assert spelled(tokenizer, second.ids[len(first.ids) :]) == "X<eom><mask_2>"
    with pytest.raises(UserError, match="no hole"):
        infill.compose_holes(["a", "b"], ["X"], tokenizer, form)


# Every sentinel as somebody might have it in a source file.
INJECTION = "s = '<eom><sep><mask_1><|endoftext|><fim_prefix>'\n"


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_user_text_never_becomes_a_control_token(
    tokenizer: Tokenizer, form: Format, text: str
) -> None:
    hostile = text + INJECTION
    prompt = infill.compose(hostile, hostile, tokenizer, form, budget=10_000)
    specials = set(tokenizer.special_ids)
    assert sum(i in specials for i in prompt.ids) == 4
    assert tokenizer.decode(tokenizer.encode(hostile)) == hostile


# ------------------------------------------------------------------------------------ budgets


@given(texts, texts, st.integers(5, 120))
@settings(max_examples=200)
def test_a_prompt_never_exceeds_its_budget(
    tokenizer: Tokenizer, form: Format, prefix: str, suffix: str, budget: int
) -> None:
    for layout in form.layouts:
        prompt = infill.compose(prefix, suffix, tokenizer, form, budget=budget, layout=layout)
        assert len(prompt.ids) <= budget
        whole = infill.compose(prefix, suffix, tokenizer, form, budget=10**6, layout=layout)
        assert not whole.cut
        assert prompt.cut or prompt.ids == whole.ids
        assert prompt.cut == (len(whole.ids) > budget) or layout is not infill.Layout.CAUSAL


def test_far_ends_are_cut_at_line_borders(tokenizer: Tokenizer, form: Format) -> None:
    prefix = "".join(f"value_{i} = {i}\n" for i in range(500)) + "    here"
    suffix = "\n" + "".join(f"other_{i} = {i}\n" for i in range(500))
    before, after, cut = infill.fit(prefix, suffix, 200, tokenizer)
    assert cut
    head, tail = tokenizer.decode(before), tokenizer.decode(after)
    assert prefix.endswith(head) and head.startswith("value_")
    assert suffix.startswith(tail) and tail.endswith("\n")
    assert 140 <= len(before) + len(after) <= 200
    assert len(before) > len(after) > 20


def test_dense_text_far_away_does_not_starve_the_near(tokenizer: Tokenizer) -> None:
    near = "".join(f"value_{i} = {i}\n" for i in range(100))
    before, _, cut = infill.fit("漢字" * 10_000 + "\n" + near, "", 300, tokenizer)
    assert cut and len(before) > 280 and near.endswith(tokenizer.decode(before))


def test_room_that_one_side_leaves_goes_to_the_other(tokenizer: Tokenizer) -> None:
    lines = "".join(f"value_{i} = {i}\n" for i in range(500))
    before, after, cut = infill.fit("x = 1\n", lines, 100, tokenizer)
    assert cut
    assert tokenizer.decode(before) == "x = 1\n" and len(after) > 80


def test_a_single_endless_line_is_cut_inside(tokenizer: Tokenizer) -> None:
    before, after, cut = infill.fit("x" * 10_000_000, "", 50, tokenizer)
    assert cut and 0 < len(before) <= 50 and after == []
