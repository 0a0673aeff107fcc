"""The typing loop of one file in one editor: a keystroke costs the tokens typed.

The prompt is laid out around an anchor, the start of a line: what stands before it and the suffix
come first and keep their keys and values, what was typed since comes last, as the beginning of the
answer. Far ends are cut once, at the anchor, with room for typing, so that the cut does not move
with every character. What was answered is shown again for as long as the typing agrees with it,
and an answer under way is not started again while it does.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from codegen25.errors import UserError
from codegen25.infill import Format, Layout, Prompt
from codegen25.sample.context import Pinned, Repository, gather, render
from codegen25.sample.engine import Engine
from codegen25.sample.healing import Vocabulary, heal
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Handle, Priority, Request
from codegen25.sample.stopping import Stops
from codegen25.tokenizer import Tokenizer

ROOM = 96
"""Tokens that may be typed behind one anchor."""
REACH = 16 * ROOM
"""Characters of an endless line that are enough for `ROOM` tokens."""
REMEMBERED, ACCEPTED = 64, 16
TAIL = 64
FURTHER = 8
"""Pieces of other files that drafts are looked up in."""
PARTIAL = ("cancelled", "time")
"""Reasons that say nothing of what the whole answer would have been."""
APPENDING = (Layout.ANCHORED, Layout.SPM, Layout.CAUSAL)
"""Layouts in which typing only appends to the prompt."""


@dataclass(frozen=True)
class Options:
    """How a session asks."""

    max_tokens: int = 64
    sampling: Sampling = field(default_factory=Sampling)
    stops: Stops = field(default_factory=Stops.editor)
    language: str = "python"
    heal: bool = True
    owner: str = ""
    budget: float | None = None


class Model(Protocol):
    """What laying out needs of an engine: `sample.engine.Engine`, or what serves in its place."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def form(self) -> Format: ...
    @property
    def context(self) -> int: ...
    def prompt(
        self,
        prefix: str,
        suffix: str,
        *,
        max_tokens: int,
        layout: str | None = None,
        front: Sequence[int] = (),
    ) -> Prompt:
        """See `Engine.prompt`."""


class _Mark(NamedTuple):
    """A text that is known again without being held: files are large, and sessions many."""

    length: int
    tail: str
    hash: int

    @classmethod
    def of(cls, text: str) -> _Mark:
        return cls(len(text), text[-TAIL:], hash(text))

    def begins(self, text: str) -> bool:
        """Whether the marked text stands at the beginning of `text`."""
        near = text.startswith(self.tail, self.length - len(self.tail))
        return near and hash(text[: self.length]) == self.hash

    def marks(self, text: str) -> bool:
        """Whether `text` is the marked one."""
        return len(text) == self.length and hash(text) == self.hash


@dataclass(frozen=True)
class _Anchor:
    """A prompt up to the anchor, the texts it was made of, and the answer it has room for."""

    before: _Mark
    suffix: _Mark
    prompt: Prompt
    room: int

    def holds(self, prefix: str, suffix: str, room: int) -> bool:
        """Whether a prompt for a cursor may begin with it."""
        return room <= self.room and self.suffix.marks(suffix) and self.before.begins(prefix)


@dataclass(frozen=True)
class _Past:
    prefix: _Mark
    suffix: _Mark
    completion: Completion
    size: int
    """Bytes, roughly."""

    @classmethod
    def of(cls, prefix: str, suffix: str, completion: Completion) -> _Past:
        listed = sum(128 + 128 * len(t.top) for t in completion.logprobs)
        size = 800 + sys.getsizeof(completion.text) + listed
        return cls(_Mark.of(prefix), _Mark.of(suffix), completion, size)

    def rest(self, prefix: str, suffix: str) -> str | None:
        """What is left of the answer when `prefix` is being typed, None if it says otherwise.

        With log-probabilities only the whole will do: a rest may begin within a token.
        """
        text, count = self.completion.text, len(prefix) - self.prefix.length
        if not 0 <= count < (1 if self.completion.logprobs else len(text)):
            return None
        agrees = prefix.endswith(text[:count]) and self.suffix.marks(suffix)
        return text[count:] if agrees and self.prefix.begins(prefix) else None

    def lasts(self, max_tokens: int) -> bool:
        """Whether it is what an answer of at most `max_tokens` would have been."""
        tokens = self.completion.tokens
        cut = self.completion.stop_reason == "length"
        return tokens == max_tokens if cut else tokens <= max_tokens


class Running(NamedTuple):
    """An answer under way, and where it was asked for."""

    prefix: str
    suffix: str
    handle: Handle

    def agrees(self, prefix: str, suffix: str) -> bool:
        """Whether what was typed since agrees with it so far."""
        if suffix != self.suffix or not prefix.startswith(self.prefix):
            return False
        typed, text = prefix[len(self.prefix) :], self.handle.text
        return text.startswith(typed) or typed.startswith(text)


class Around(Protocol):
    """What a session shows the model of other files; `path` is the file's own."""

    @property
    def path(self) -> str: ...
    @property
    def budget(self) -> int: ...
    def ids(self, prefix: str, suffix: str, tokenizer: Tokenizer) -> list[int]:
        """Ids that stand before the prompt, at most `budget`."""

    def further(self) -> tuple[tuple[int, ...], ...]:
        """Ids of what was found for the last prompt, the best first: drafts may be of it."""


class Surroundings:
    """The repository around a file, `path` within it; at most `budget` tokens are shown of it."""

    def __init__(self, repository: Repository, path: str, budget: int = 256) -> None:
        self.repository, self.path, self.budget = repository, path, budget
        self._further: tuple[tuple[int, ...], ...] = ()

    def ids(self, prefix: str, suffix: str, tokenizer: Tokenizer) -> list[int]:
        """Pieces of other files that say something about the cursor's place."""
        snippets = gather(self.repository, self.path, prefix, suffix)
        best = [each.text for each in snippets[:FURTHER]]
        self._further = tuple(tuple(tokenizer.encode(text)) for text in best)
        return render(snippets, tokenizer, self.budget)

    def further(self) -> tuple[tuple[int, ...], ...]:
        """The best pieces, whether or not they are shown."""
        return self._further


class Typing:
    """Prompts for one file, and what was answered: the half that asks nothing.

    `request` is not for several threads at once; `recall` and `remember` may go on beside it.
    """

    def __init__(
        self, model: Model, options: Options | None = None, surroundings: Around | None = None
    ) -> None:
        self.model, self.options = model, options or Options()
        self._surroundings, self._pinned = surroundings, Pinned()
        layouts = [layout for layout in APPENDING if layout in model.form.layouts]
        self.layout = layouts[0]
        self._vocabulary = Vocabulary.of(model.tokenizer) if self.options.heal else None
        self._anchor: _Anchor | None = None
        self._past: deque[_Past] = deque(maxlen=REMEMBERED)
        self._accepted: deque[tuple[int, ...]] = deque(maxlen=ACCEPTED)

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        options, anchor = self.options, self._anchor
        ids = sum(map(len, self._accepted)) + (len(anchor.prompt.ids) if anchor else 0)
        texts = sum(map(sys.getsizeof, options.stops.strings))
        biases = 160 * len(options.sampling.logit_bias)
        return 4000 + 36 * ids + texts + biases + sum(past.size for past in list(self._past))

    def recall(self, prefix: str, suffix: str, max_tokens: int | None = None) -> Completion | None:
        """What is left of an earlier answer that the typing agrees with.

        `max_tokens` is the options' where it is not given.
        """
        most = self.options.max_tokens if max_tokens is None else max_tokens
        if not self._holds(most):
            return None  # it will be refused, whatever is known
        for past in reversed(list(self._past)):
            if past.lasts(most) and (rest := past.rest(prefix, suffix)) is not None:
                return replace(
                    past.completion, text=rest, tokens=0, prefill_ms=0.0, decode_ms=0.0,
                    cached_tokens=past.completion.prompt_tokens, rule="typed through",
                )  # fmt: skip
        return None

    def remember(self, prefix: str, suffix: str, completion: Completion) -> None:
        """Keep an answer to a request of `request`'s, whoever has brought it forward.

        One that ran out of time is not the answer to the next who has more, and is not kept.
        """
        if completion.text and completion.stop_reason not in PARTIAL:
            self._past.append(_Past.of(prefix, suffix, completion))

    def near(self, prefix: str, suffix: str, max_tokens: int) -> bool:
        """Whether a request costs no more than a few characters typed since the last."""
        anchor = self._anchor
        if anchor is None or len(prefix) - anchor.before.length > 2 * ROOM:
            return False
        return anchor.holds(prefix, suffix, max_tokens)

    def request(
        self,
        prefix: str,
        suffix: str,
        priority: Priority = Priority.TYPING,
        *,
        max_tokens: int | None = None,
    ) -> Request:
        """What is asked of the engine at a cursor; the anchor moves if it must.

        `max_tokens` is the options' where it is not given.
        """
        options = self.options
        most = options.max_tokens if max_tokens is None else max_tokens
        if priority is Priority.TYPING:  # else it may stand before no cursor
            self._learn(prefix)
        prompt, forced = self._prompt(prefix, suffix, most)
        return Request(
            prompt, most, options.sampling, stops=options.stops, prefix=prefix,
            suffix=suffix, language=options.language, forced=forced, priority=priority,
            budget=options.budget, owner=options.owner, sources=self._sources(),
        )  # fmt: skip

    def _sources(self) -> tuple[tuple[int, ...], ...]:
        further = self._surroundings.further() if self._surroundings else ()
        return (*reversed(self._accepted), *further)

    def _learn(self, prefix: str) -> None:
        """An answer that now stands before the cursor was accepted: what it says may come again."""
        past = self._past[-1] if self._past else None
        if past is None or not prefix.startswith(past.completion.text, past.prefix.length):
            return
        if past.prefix.begins(prefix):
            ids = tuple(self.model.tokenizer.encode(past.completion.text))
            if ids not in self._accepted:
                self._accepted.append(ids)

    def _prompt(self, prefix: str, suffix: str, room: int) -> tuple[Prompt, bytes]:
        anchor = self._anchor
        if anchor is None or not anchor.holds(prefix, suffix, room):
            anchor = self._anchored(prefix[: prefix.rfind("\n") + 1], suffix, room)
        typed = prefix[anchor.before.length :]
        ids = self.model.tokenizer.encode(_end(typed))
        if len(ids) > ROOM and "\n" in typed:
            anchor = self._anchored(prefix[: prefix.rfind("\n") + 1], suffix, room)
            typed = prefix[anchor.before.length :]
            ids = self.model.tokenizer.encode(_end(typed))
        self._anchor = anchor
        forced = b""
        if self._vocabulary is not None:
            ids, forced = heal(_end(typed), ids, self._vocabulary)
        whole = [*anchor.prompt.ids, *ids[-ROOM:]]  # of one endless line the beginning goes
        return replace(anchor.prompt, ids=whole, cut=anchor.prompt.cut or len(ids) > ROOM), forced

    def _holds(self, room: int) -> bool:
        return room + 2 * ROOM <= self.model.context

    def _anchored(self, before: str, suffix: str, room: int) -> _Anchor:
        if not self._holds(room):
            raise UserError(
                f"max-tokens is {room}; this model's context of {self.model.context} has no room "
                "for it while somebody types"
            )
        front = self._front(before, suffix)
        prompt = self.model.prompt(
            before, suffix, max_tokens=room + ROOM, layout=self.layout, front=front
        )
        return _Anchor(_Mark.of(before), _Mark.of(suffix), prompt, room)

    def _front(self, prefix: str, suffix: str) -> list[int]:
        """Context from other files; it stays while the cursor stays in a function."""
        around = self._surroundings
        if around is None:
            return []
        tokenizer = self.model.tokenizer
        return self._pinned.ids(
            around.path, prefix, around.budget, lambda: around.ids(prefix, suffix, tokenizer)
        )


class Session(Typing):
    """Suggestions for one file. Not for several threads at once."""

    def __init__(
        self,
        engine: Engine,
        options: Options | None = None,
        surroundings: Around | None = None,
    ) -> None:
        super().__init__(engine, options, surroundings)
        self.engine = engine
        self._running: Running | None = None
        self._prefetched: list[Handle] = []

    def suggest(self, prefix: str, suffix: str) -> Completion:
        """The completion between `prefix` and `suffix`; one typed through costs nothing."""
        if (known := self.recall(prefix, suffix)) is not None:
            return known
        completion = self._attached(prefix, suffix)
        return completion if completion is not None else self._asked(prefix, suffix)

    @property
    def running(self) -> Running | None:
        """The answer under way."""
        return self._running

    def begin(self, prefix: str, suffix: str) -> Handle:
        """Start an answer without waiting; a later `suggest` that agrees with it attaches to it."""
        self.cancel()
        handle = self.engine.submit(self.request(prefix, suffix))
        self._running = Running(prefix, suffix, handle)
        return handle

    def ended(self, prefix: str, suffix: str) -> Completion | None:
        """What the answer under way, which has ended, says at a cursor, if anything.

        It is remembered, and under way no more.
        """
        running, self._running = self._running, None
        if running is None or (completion := running.handle.completion) is None:
            return None
        self.remember(running.prefix, running.suffix, completion)
        rest = _Past.of(running.prefix, running.suffix, completion).rest(prefix, suffix)
        if not rest or completion.stop_reason == "cancelled":
            return None
        return replace(completion, text=rest)

    def _ahead(self, request: Request) -> Handle:
        self._prefetched.append(self.engine.submit(request))
        return self._prefetched[-1]

    def cancel(self) -> None:
        """End what is under way, and what was begun ahead of the typing."""
        for handle in self._prefetched:
            handle.cancel()
        self._prefetched.clear()
        if self._running is not None:
            self._running.handle.cancel()
            self._running = None

    def idle(self, prefix: str, suffix: str) -> Iterator[Handle]:
        """What is worth doing while nobody types: the next answer as if the last were accepted,
        and the anchor moved to the cursor's line. Each is queued, of low priority, and yielded."""
        for past in list(self._past)[-1:]:
            rest = past.rest(prefix, suffix)
            if rest and self.recall(after := prefix + rest, suffix) is None:
                anchor = self._anchor  # of what is there, not of what may be accepted
                request = self.request(after, suffix, Priority.PREFETCH)
                self._anchor = anchor
                handle = self._ahead(request)
                handle.then(lambda done: self._remember(after, suffix, done))
                yield handle
        line = prefix.rfind("\n") + 1
        if self._anchor is not None and line > self._anchor.before.length:
            self._anchor = self._anchored(prefix[:line], suffix, self.options.max_tokens)
            warm = Request(self._anchor.prompt, 0, owner=self.options.owner, priority=Priority.WARM)
            yield self._ahead(warm)

    def _asked(self, prefix: str, suffix: str) -> Completion:
        handle = self.begin(prefix, suffix)
        completion = self.engine.wait(handle)
        self._running = None
        self._remember(prefix, suffix, handle)
        return completion

    def _attached(self, prefix: str, suffix: str) -> Completion | None:
        """The answer under way, when what was typed since agrees with it to the end."""
        while (running := self._running) is not None and running.agrees(prefix, suffix):
            if running.handle.done:
                return self.ended(prefix, suffix)
            self.engine.advance(running.handle)
        self.cancel()
        return None

    def _remember(self, prefix: str, suffix: str, handle: Handle) -> None:
        if handle.completion is not None:
            self.remember(prefix, suffix, handle.completion)


def _end(typed: str) -> str:
    """What is encoded of a line: of an endless one the last characters, `REACH` of them or more.

    They begin at a place that stays for a while, so that ids do not change with every key.
    """
    return typed[(len(typed) // REACH - 1) * REACH :] if len(typed) > 2 * REACH else typed
