"""The infill format of CodeGen2.5, both directions; nothing else spells a sentinel.

Training: a document is corrupted into `kept <mask_1> kept … <|endoftext|> <sep> <mask_1> span_1
<eom> <mask_2> span_2 <eom> … <|endoftext|>`. Sampling: `prefix <mask_1> suffix <|endoftext|> <sep>
<mask_1>`, and the model answers `middle <eom>`. Format: the model cards of CodeGen2 and
CodeGen2.5; the distribution of spans was never published and is ours, see `Corruption`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from random import Random
from typing import Any, Protocol

from codegen25.errors import UserError

END_OF_TEXT = "<|endoftext|>"
SEPARATOR = "<sep>"
END_OF_MIDDLE = "<eom>"
FIM = ("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")
ALIAS = FIM[1]
"""One token for `<|endoftext|> <sep> <mask_1>`, as `Corruption.alias` trains it: runtimes whose
infill request has room for one token before the middle (llama.cpp's) can ask who knows it."""
OUR_FIM = {"prefix": FIM[0], "suffix": FIM[2], "middle": FIM[1]}
"""What `config.json` names as `infill` for a model of ours trained by fill-in-the-middle."""
STRUCTURE = (
    "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>",
    "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>",
    "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip
"""StarCoderData's structure tokens, in CodeGen2.5's order."""
METADATA = ("<reponame>", "<filename>", "<gh_stars>")
"""Those that head a document of source, up to the end of their line."""
DUMMIES = tuple(f"<dummy_{i}>" for i in range(4))
MAX_MASKS = 881

_KNOWN_FIM = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
)
"""Prefix, suffix and middle sentinels of StarCoder, Qwen, DeepSeek and Code Llama."""
_KNOWN_ENDS = (END_OF_TEXT, "▁<EOT>", "<EOT>")


def mask(k: int) -> str:
    """The spelling of the k-th mask sentinel, k from 1."""
    return f"<mask_{k}>"


class Encoder(Protocol):
    """What this module needs of a tokenizer."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def special(self, name: str) -> int | None: ...
    def is_special(self, token: int) -> bool: ...
    def cut(self, text: str, room: int, *, keep_end: bool) -> str: ...


def encode_marked(raw: bytes, marks: Sequence[tuple[int, str]], tokenizer: Encoder) -> list[int]:
    """Ids of UTF-8 text with the special tokens of `marks`, (byte offset, name), put before.

    An unknown special token is a UserError: the record cannot be told from plain text without it.
    """
    borders = [*(at for at, _ in marks), len(raw)]
    ids = tokenizer.encode(raw[: borders[0]].decode())
    for (at, name), end in zip(marks, borders[1:], strict=True):
        token = tokenizer.special(name)
        if token is None:
            raise UserError(f"the tokenizer lacks {name}, which the corpus uses; train one of ours")
        ids += [token, *tokenizer.encode(raw[at:end].decode())]
    return ids


# ---------------------------------------------------------------------------------- sentinels


@dataclass(frozen=True)
class Sentinels:
    """Ids of the span-corruption format; `masks[k - 1]` is `<mask_k>`."""

    end_of_text: int
    separator: int
    end_of_middle: int
    masks: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Encoder) -> Sentinels | None:
        """The sentinels of a vocabulary, or None when it lacks one of them."""
        ids = [tokenizer.special(name) for name in (END_OF_TEXT, SEPARATOR, END_OF_MIDDLE)]
        masks: list[int] = []
        while (k := tokenizer.special(mask(len(masks) + 1))) is not None:
            masks.append(k)
        if None in ids or not masks:
            return None
        end_of_text, separator, end_of_middle = (i for i in ids if i is not None)
        return cls(end_of_text, separator, end_of_middle, tuple(masks))

    @property
    def ends(self) -> frozenset[int]:
        """Both ids that close a span."""
        return frozenset((self.end_of_middle, self.end_of_text))


@dataclass(frozen=True)
class FimSentinels:
    """Ids of fill-in-the-middle as other models spell it."""

    prefix: int
    suffix: int
    middle: int

    @classmethod
    def ours(cls, tokenizer: Encoder) -> FimSentinels | None:
        """Those that our vocabularies reserve, for models trained to compare."""
        ids = [tokenizer.special(OUR_FIM[name]) for name in ("prefix", "suffix", "middle")]
        return None if None in ids else cls(*(i for i in ids if i is not None))


# --------------------------------------------------------------------------------- corruption


@dataclass(frozen=True)
class Corruption:
    """The distribution of span corruption. The source is silent on it: these choices are ours.

    rate            a document is corrupted with this probability (CodeGen2: one half), else it is
                    plain causal text.
    mask_ratio      bounds of the share of characters masked, drawn uniformly. The upper bound
                    keeps half of the text as context; the lower lets one short span stand alone.
    max_spans       at most this many spans: each costs three ids of a row.
    min_characters  shorter documents stay causal; there is no context to infill from.
    uniform_length  lengths of character spans are uniform, as CodeGen2's digests say; by default
                    log-uniform instead, because what people ask for is short (half of the
                    single-line answers of HumanEval have 24 characters or fewer).
    The kind of a document, then of each of its spans; the rest are `characters`, any start and
    any length, for cursors in the middle of a word:
    document_start  documents with one span that begins at the first character and leaves a suffix:
                    the suffix-first layout of sampling, where a keystroke costs one token.
    anchored        the same, beginning at a random line start, and mostly short: the layout after
                    re-anchoring. They look like the documents of whole lines until they end.
    whole_lines     spans of whole lines with their newlines: what HumanEval's single-line and
                    multi-line infilling ask for.
    line_weights    how often they are 1, 2, … lines long. One line leads by far: a model too
                    weak to read the end off the suffix stops after the usual number of lines.
    line_end        spans from inside a line, or from its first letter, to the line's end: what an
                    editor asks for most.
    line_start      spans from a line start to anywhere.
    alias           of the corrupted documents, how many open their answers with `ALIAS`.
    stop_at_line    of the documents with one span from their start or a line's: how many of the
                    spans end where a line does, before or after its newline. Cursors stand there;
                    from spans that end at any character a small model learns to end anywhere.
    tokens          spans move to the nearest borders of tokens; to compare with.
    """

    rate: float = 0.5
    mask_ratio: tuple[float, float] = (0.02, 0.5)
    max_spans: int = 16
    min_characters: int = 16
    uniform_length: bool = False
    document_start: float = 0.15
    anchored: float = 0.05
    whole_lines: float = 0.4
    line_weights: tuple[float, ...] = (0.6, 0.15, 0.08, 0.06, 0.04, 0.03, 0.02, 0.02)
    line_end: float = 0.3
    line_start: float = 0.1
    stop_at_line: float = 0.6
    alias: float = 0.0
    tokens: bool = False

    def __post_init__(self) -> None:
        low, high = self.mask_ratio
        shares = (
            self.rate, self.document_start, self.anchored, self.document_start + self.anchored,
            self.whole_lines, self.line_end, self.line_start, self.stop_at_line,
            self.whole_lines + self.line_end + self.line_start, self.alias,
        )  # fmt: skip
        if not (0 <= low <= high <= 1) or not all(0 <= share <= 1 for share in shares):
            raise UserError("corruption: shares and their sums lie between 0 and 1")
        if not (1 <= self.max_spans <= MAX_MASKS and self.min_characters >= 2):
            raise UserError(f"corruption: 1 to {MAX_MASKS} spans, min_characters at least 2")
        if not sum(self.line_weights) > 0 or min(self.line_weights) < 0:
            raise UserError("corruption: line_weights are at least 0, one of them above")


Span = tuple[int, int]
"""Start and end of a masked span in characters, end exclusive."""


@dataclass(frozen=True)
class Corrupted:
    """A document with holes: `len(kept) == len(spans) + 1`."""

    kept: tuple[str, ...]
    spans: tuple[str, ...]


def corrupt(
    text: str,
    rng: Random,
    corruption: Corruption,
    max_spans: int | None = None,
    borders: Callable[[str], Sequence[int]] | None = None,
) -> Corrupted | None:
    """Cut spans out of `text`, or return None when it stays causal.

    `max_spans` lowers the distribution's own bound, for rows that have little room. `borders` are
    those of the tokens of a text, which `corruption.tokens` asks for, see `aligned`.
    """
    if rng.random() >= corruption.rate:
        return None
    most = min(corruption.max_spans, max_spans if max_spans is not None else corruption.max_spans)
    spans = draw_spans(text, rng, corruption, most)
    if corruption.tokens and spans:
        assert borders is not None, "spans of tokens need the tokens' borders"
        spans = aligned(spans, borders(text))
    return cut(text, spans) if spans else None


def cut(text: str, spans: Sequence[Span]) -> Corrupted:
    """Split `text` at sorted, non-overlapping `spans`."""
    borders = [0, *(border for span in spans for border in span), len(text)]
    parts = [text[a:b] for a, b in pairwise(borders)]
    return Corrupted(kept=tuple(parts[::2]), spans=tuple(parts[1::2]))


def aligned(spans: Sequence[Span], borders: Sequence[int]) -> list[Span]:
    """Sorted spans with each end moved to the nearest of the ascending `borders`, 0 the first, or
    where both would be the same out to the next ones, so that spans stay as long on average.

    A span that then touches the one before it, or is the whole text, is dropped.
    """
    found: list[Span] = []
    for start, end in spans:
        out = borders[bisect_right(borders, start) - 1], borders[bisect_left(borders, end)]
        start, end = _nearest(borders, start), _nearest(borders, end)
        if start == end:
            start, end = out
        if (not found or start > found[-1][1]) and end - start < borders[-1]:
            found.append((start, end))
    return found


def _nearest(borders: Sequence[int], place: int) -> int:
    after = bisect_left(borders, place)
    before = borders[max(0, after - 1)]
    return before if place - before < borders[after] - place else borders[after]


def restore(corrupted: Corrupted) -> str:
    """The document before corruption."""
    parts = [corrupted.kept[0]]
    for span, kept in zip(corrupted.spans, corrupted.kept[1:], strict=True):
        parts += (span, kept)
    return "".join(parts)


def draw_spans(text: str, rng: Random, corruption: Corruption, most: int) -> list[Span]:
    """Sorted spans of `text`, at least one character apart and never the whole of it."""
    n = len(text)
    if n < corruption.min_characters or most < 1:
        return []
    lines = [0, *(i + 1 for i, c in enumerate(text) if c == "\n" and i + 1 < n)]
    kind = rng.random()
    if kind < corruption.document_start + corruption.anchored:
        start = 0 if kind < corruption.document_start else rng.choice(lines)
        if start >= n - 1:
            return []
        far = n - 1 - start
        anchored = kind >= corruption.document_start
        length = round(_log_uniform(rng, 1, far)) if anchored else rng.randint(1, far)
        return [(start, _stop(text, start, start + length, rng, corruption))]
    wanted = rng.uniform(*corruption.mask_ratio) * n
    spans: list[Span] = []
    masked = 0
    for _ in range(4 * most):
        start, end = _draw_span(text, lines, max(1, int(wanted)), rng, corruption)
        apart = all(end < other[0] or start > other[1] for other in spans)
        if apart and 0 <= start < end <= n and end - start < n and masked + end - start <= n // 2:
            spans.append((start, end))
            masked += end - start
        if masked >= wanted or len(spans) == most:
            break
    return sorted(spans)


def _stop(text: str, start: int, end: int, rng: Random, corruption: Corruption) -> int:
    """Where the one span of a document ends that begins at `start` and might at `end`, before the
    document does."""
    if rng.random() < corruption.stop_at_line:
        newline = text.find("\n", end - 1)
        border = newline + (rng.random() < 0.5)
        if newline >= 0 and start < border < len(text):
            return border
    return end


def _draw_span(
    text: str, lines: Sequence[int], longest: int, rng: Random, corruption: Corruption
) -> Span:
    kind = rng.random()
    if kind < corruption.whole_lines:
        first = rng.randrange(len(lines))
        weights = corruption.line_weights
        last = first + 1 + rng.choices(range(len(weights)), weights)[0]
        return lines[first], lines[last] if last < len(lines) else len(text)
    kind -= corruption.whole_lines
    if kind < corruption.line_end:
        start, end = _line(text, lines, rng.randrange(len(lines)))
        first_letter = end - len(text[start:end].lstrip())
        inside = rng.randint(first_letter, end)
        return (first_letter if rng.random() < 0.5 else inside), end
    kind -= corruption.line_end
    length = rng.randint(1, longest) if corruption.uniform_length else 0
    length = length or round(_log_uniform(rng, 1, longest))
    if kind < corruption.line_start:
        start = rng.choice(lines)
    else:
        start = rng.randint(0, max(0, len(text) - length))
    return start, min(start + length, len(text))


def _line(text: str, lines: Sequence[int], index: int) -> Span:
    """Start and end of a line without its newline."""
    end = lines[index + 1] - 1 if index + 1 < len(lines) else len(text)
    return lines[index], end - 1 if text[end - 1 : end] == "\n" and end == len(text) else end


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(max(low, high))))


def encode_corrupted(
    corrupted: Corrupted, tokenizer: Encoder, sentinels: Sentinels, alias: int | None = None
) -> list[int]:
    """Ids of a corrupted document, through its final `<|endoftext|>`.

    With `alias` this one id stands for the three that open the answers.
    """
    ids = tokenizer.encode(corrupted.kept[0])
    for sentinel, kept in zip(sentinels.masks, corrupted.kept[1:], strict=False):
        ids += [sentinel, *tokenizer.encode(kept)]
    answers: list[int] = []
    for sentinel, span in zip(sentinels.masks, corrupted.spans, strict=False):
        answers += [sentinel, *tokenizer.encode(span), sentinels.end_of_middle]
    if alias is None:
        answers[:0] = [sentinels.end_of_text, sentinels.separator]
    else:
        answers[:1] = [alias]
    return [*ids, *answers, sentinels.end_of_text]


def encode_fim(
    corrupted: Corrupted, tokenizer: Encoder, fim: FimSentinels, end_of_text: int, layout: Layout
) -> list[int]:
    """Ids of a document with one span as fill-in-the-middle, PSM or SPM (arXiv 2207.14255)."""
    (prefix, suffix), (middle,) = (
        [tokenizer.encode(text) for text in texts] for texts in (corrupted.kept, corrupted.spans)
    )
    if layout is Layout.PSM:
        ids = [fim.prefix, *prefix, fim.suffix, *suffix, fim.middle]
    else:
        ids = [fim.prefix, fim.suffix, *suffix, fim.middle, *prefix]
    return [*ids, *middle, end_of_text]


def decode_corrupted(
    ids: Sequence[int], tokenizer: Encoder, sentinels: Sentinels, alias: int | None = None
) -> Corrupted:
    """The inverse of `encode_corrupted`."""
    if alias in ids:
        border = ids.index(alias)
        kept, answers = ids[:border], ids[border + 1 : -1]
    else:
        border = ids.index(sentinels.separator)
        kept, answers = ids[: border - 1], ids[border + 2 : -1]
    return Corrupted(
        kept=tuple(tokenizer.decode(part) for part in _split(kept, sentinels.masks)),
        spans=tuple(tokenizer.decode(part[:-1]) for part in _split(answers, sentinels.masks)),
    )


def in_answer(ids: Sequence[int], sentinels: Sentinels, middle: int | None = None) -> list[bool]:
    """Which ids of a row belong to answers: all from after a `<sep>` through the document's end.

    `middle` opens one too: the sentinel of fill-in-the-middle, or the alias.
    """
    inside, found = False, []
    openers = {sentinels.separator, middle}
    for i in ids:
        found.append(inside)
        inside = i in openers or (inside and i != sentinels.end_of_text)
    return found


def _split(ids: Iterable[int], at: Collection[int]) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for i in ids:
        if i in at:
            parts.append([])
        else:
            parts[-1].append(i)
    return parts


# ------------------------------------------------------------------------------------ prompts


class Layout(StrEnum):
    """How a prompt is arranged."""

    PLAIN = "plain"
    ANCHORED = "anchored"
    SUFFIX_FIRST = "suffix_first"
    CAUSAL = "causal"
    PSM = "psm"
    SPM = "spm"


@dataclass(frozen=True)
class Prompt:
    """Ids to feed a model, and the ids that end its answer. `cut`: the text did not fit whole."""

    ids: list[int]
    ends: frozenset[int]
    layout: Layout
    cut: bool = False


@dataclass(frozen=True)
class Format:
    """What a model was trained to infill with: its vocabulary's sentinels and end ids."""

    ends: frozenset[int]
    span: Sentinels | None = None
    fim: FimSentinels | None = None
    first: Layout = Layout.PSM
    alias: int | None = None

    @classmethod
    def of(cls, tokenizer: Encoder, config: Mapping[str, Any] | None = None) -> Format:
        """Read the format off a tokenizer and, for foreign checkpoints, its `config.json`.

        `config["infill"]` may name the sentinels ({"prefix", "suffix", "middle"}, optional "ends"
        and the "layout" that was trained, psm or spm), and then rules out span corruption;
        otherwise the spellings of the known families are looked for. `config["codegen25"]["alias"]`
        is the token that a model of ours takes for the opening of its answer.
        """
        config = config or {}
        eos = config.get("eos_token_id")
        # An end id that is an ordinary token is a mistake of the config (CodeGen2.5-instruct has
        # LLaMA's 2, which is "#" in its vocabulary) and would stop at every such character.
        ends = {
            i
            for i in (eos if isinstance(eos, list) else [eos])
            if isinstance(i, int) and tokenizer.is_special(i)
        }
        named = config.get("infill") or {}
        if not isinstance(named, Mapping):
            raise UserError("config.json: infill is no table of prefix, suffix and middle")
        for name in (*_KNOWN_ENDS, *named.get("ends", ())):
            if (i := tokenizer.special(name)) is not None:
                ends.add(i)
        span = None if named else Sentinels.of(tokenizer)
        # Our vocabularies reserve StarCoder's tokens too, but our models were not trained on them.
        fim = None if span else _fim_sentinels(tokenizer, named)
        first = Layout.SPM if named.get("layout") == Layout.SPM else Layout.PSM
        marks = config.get("codegen25")
        alias = marks.get("alias") if isinstance(marks, Mapping) else None
        alias = tokenizer.special(alias) if isinstance(alias, str) and span else None
        return cls(frozenset(ends), span, fim, first, alias)

    @property
    def ends_of_span(self) -> frozenset[int]:
        """The ids that end an infill: also `<eom>` where the model has it."""
        return self.ends | (self.span.ends if self.span else frozenset())

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The layouts this model can be asked in, the default first."""
        span = (Layout.PLAIN, Layout.ANCHORED, Layout.SUFFIX_FIRST) if self.span else ()
        fim = sorted((Layout.PSM, Layout.SPM), key=lambda each: each is not self.first)
        return (*span, *(fim if self.fim else ()), Layout.CAUSAL)


def _fim_sentinels(tokenizer: Encoder, named: Mapping[str, str]) -> FimSentinels | None:
    spellings: Sequence[tuple[str, str, str]] = _KNOWN_FIM
    if named:
        try:
            spellings = ((named["prefix"], named["suffix"], named["middle"]),)
        except KeyError as error:
            raise UserError(f"config.json: infill has no {error}; it names three tokens") from error
    for spelling in spellings:
        ids = [tokenizer.special(name) for name in spelling]
        if None not in ids:
            return FimSentinels(*(i for i in ids if i is not None))
    if named:
        raise UserError(f"tokenizer.json lacks the infill tokens of config.json: {spellings[0]}")
    return None


def compose(
    prefix: str,
    suffix: str,
    tokenizer: Encoder,
    form: Format,
    *,
    budget: int,
    layout: Layout | None = None,
    anchor: int | None = None,
) -> Prompt:
    """The prompt that asks for the text between `prefix` and `suffix`, at most `budget` ids.

    When both do not fit, their far ends are cut at line borders. `anchor` is the character of the
    prefix at which the span starts: everything from there on is given as the beginning of the
    answer. It defaults to the start of the cursor's line in the `anchored` layout and to 0 in
    `suffix_first`. `layout` defaults to the model's own; one that it was not trained for is a
    UserError.
    """
    layout = layout or form.layouts[0]
    if layout not in form.layouts:
        known = ", ".join(form.layouts)
        raise UserError(f"the model knows no {layout.value} layout; it knows {known}")
    if layout is Layout.CAUSAL:
        before, whole = _tail(prefix, budget, tokenizer)
        return Prompt(before, form.ends_of_span, layout, not whole)
    if layout in (Layout.PSM, Layout.SPM):
        assert form.fim is not None
        before, after, cut = fit(prefix, suffix, budget - 3, tokenizer)
        fim = form.fim
        if layout is Layout.PSM:
            ids = [fim.prefix, *before, fim.suffix, *after, fim.middle]
        else:
            ids = [fim.prefix, fim.suffix, *after, fim.middle, *before]
        return Prompt(ids, form.ends_of_span, layout, cut)
    assert form.span is not None
    marks = form.span
    before, after, cut = fit(prefix, suffix, budget - 4, tokenizer)
    hole = [marks.end_of_text, marks.separator, marks.masks[0]]
    if layout is Layout.PLAIN:
        ids = [*before, marks.masks[0], *after, *hole]
    else:
        if anchor is None:
            anchor = prefix.rfind("\n") + 1 if layout is Layout.ANCHORED else 0
        held, room = min(anchor, len(prefix)), budget - 4 - len(after)
        typed, whole = (before, True) if not held else _tail(prefix[held:], room, tokenizer)
        anchored, all_before = _tail(prefix[:held], room - len(typed), tokenizer)
        ids = [*anchored, marks.masks[0], *after, *hole, *typed]
        cut = cut or not (whole and all_before)
    return Prompt(ids, form.ends_of_span, layout, cut)


def compose_holes(
    segments: Sequence[str], filled: Sequence[str], tokenizer: Encoder, form: Format
) -> Prompt:
    """The prompt for the next of several holes: `segments` stand around them, in order.

    `filled` are the answers so far; with none, the first hole is asked for.
    """
    if form.span is None:
        raise UserError("several holes need a model trained by span corruption")
    marks = form.span
    if not 2 <= len(segments) <= len(marks.masks) + 1 or len(filled) > len(segments) - 2:
        raise UserError(f"{len(segments) - 1} holes, {len(filled)} of them filled: no hole to ask")
    ids = tokenizer.encode(segments[0])
    for sentinel, segment in zip(marks.masks, segments[1:], strict=False):
        ids += [sentinel, *tokenizer.encode(segment)]
    ids += [marks.end_of_text, marks.separator]
    for sentinel, answer in zip(marks.masks, filled, strict=False):
        ids += [sentinel, *tokenizer.encode(answer), marks.end_of_middle]
    return Prompt([*ids, marks.masks[len(filled)]], form.ends_of_span, Layout.PLAIN)


SUFFIX_SHARE = 0.3
"""Of a budget too small for both, what the suffix gets at most while the prefix can use the rest:
what comes before the cursor says more about the middle."""


Part = tuple[list[int], bool]
"""Ids of a part of a text, and whether that is all of it."""


def fit(
    prefix: str, suffix: str, budget: int, tokenizer: Encoder
) -> tuple[list[int], list[int], bool]:
    """Ids of the end of `prefix` and the beginning of `suffix`, together at most `budget`, and
    whether anything was cut."""
    budget = max(0, budget)
    (before, all_before), (after, all_after) = (
        _tail(prefix, budget, tokenizer), _head(suffix, budget, tokenizer)
    )  # fmt: skip
    if len(before) + len(after) > budget:
        room = max(int(budget * SUFFIX_SHARE), budget - len(before))
        after, all_after = _head(suffix, room, tokenizer)
        before, all_before = _tail(prefix, budget - len(after), tokenizer)
    return before, after, not (all_before and all_after)


def _tail(text: str, room: int, tokenizer: Encoder) -> Part:
    """Ids of the end of `text`, cut at a line start if that costs less than half."""
    return _cut(text, room, tokenizer, keep_end=True)


def _head(text: str, room: int, tokenizer: Encoder) -> Part:
    """Ids of the beginning of `text`, cut after a newline if that costs less than half."""
    return _cut(text, room, tokenizer, keep_end=False)


def _cut(text: str, room: int, tokenizer: Encoder, *, keep_end: bool) -> Part:
    if room <= 0:
        return [], not text
    near = tokenizer.cut(text, room, keep_end=keep_end)
    if len(near) < len(text):
        near = _snap(near, keep_end)
    ids = tokenizer.encode(near)
    whole = len(near) == len(text) and len(ids) <= room
    return ids[-room:] if keep_end else ids[:room], whole


def _snap(near: str, keep_end: bool) -> str:
    """Move a ragged cut to the next line border inside, unless more than half would go."""
    if keep_end:
        newline = near.find("\n") + 1
        return near[newline:] if newline <= len(near) // 2 else near
    newline = near.rfind("\n") + 1
    return near[:newline] if newline > len(near) // 2 else near
