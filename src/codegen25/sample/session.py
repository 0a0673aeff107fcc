"""The typing loop of one file in one editor: a keystroke costs the tokens typed.

The prompt is laid out around an anchor, the start of a line: what stands before it and the suffix
come first and keep their keys and values, what was typed since comes last, as the beginning of the
answer. Far ends are cut once, at the anchor, with room for typing, so that the cut does not move
with every character. What was answered is shown again for as long as the typing agrees with it,
and an answer under way is not started again while it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from codegen25.errors import UserError
from codegen25.infill import Layout, Prompt
from codegen25.sample.context import Pinned, Repository, gather, render
from codegen25.sample.engine import Engine
from codegen25.sample.healing import Vocabulary, heal
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Handle, Priority, Request
from codegen25.sample.stopping import Stops
from codegen25.tokenizer import Tokenizer

ROOM = 96
"""Tokens that may be typed behind one anchor."""
REMEMBERED, ACCEPTED = 64, 16
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


@dataclass(frozen=True)
class _Anchor:
    """A prompt up to the anchor, and the texts it was made of."""

    before: str
    suffix: str
    prompt: Prompt


@dataclass(frozen=True)
class _Past:
    prefix: str
    suffix: str
    completion: Completion

    def rest(self, prefix: str, suffix: str) -> str | None:
        """What is left of the answer when `prefix` is being typed, None if it says otherwise."""
        text = self.completion.text
        if suffix != self.suffix or not prefix.startswith(self.prefix):
            return None
        typed = prefix[len(self.prefix) :]
        return text[len(typed) :] if len(typed) < len(text) and text.startswith(typed) else None


class Around(Protocol):
    """What a session shows the model of other files; `path` is the file's own."""

    @property
    def path(self) -> str: ...
    @property
    def budget(self) -> int: ...
    def ids(self, prefix: str, suffix: str, tokenizer: Tokenizer) -> list[int]:
        """Ids that stand before the prompt, at most `budget`."""


@dataclass(frozen=True)
class Surroundings:
    """The repository around a file, `path` within it; at most `budget` tokens are shown of it."""

    repository: Repository
    path: str
    budget: int = 256

    def ids(self, prefix: str, suffix: str, tokenizer: Tokenizer) -> list[int]:
        """Pieces of other files that say something about the cursor's place."""
        snippets = gather(self.repository, self.path, prefix, suffix)
        return render(snippets, tokenizer, self.budget)


class Session:
    """Suggestions for one file. Not for several threads at once."""

    def __init__(
        self,
        engine: Engine,
        options: Options | None = None,
        surroundings: Around | None = None,
    ) -> None:
        self.engine, self.options = engine, options or Options()
        self._surroundings, self._pinned = surroundings, Pinned()
        layouts = [layout for layout in APPENDING if layout in engine.form.layouts]
        self.layout = layouts[0]
        self._vocabulary = Vocabulary.of(engine.tokenizer) if self.options.heal else None
        self._anchor: _Anchor | None = None
        self._past: deque[_Past] = deque(maxlen=REMEMBERED)
        self._running: tuple[str, str, Handle] | None = None
        self._prefetched: list[Handle] = []
        self._accepted: deque[tuple[int, ...]] = deque(maxlen=ACCEPTED)

    def suggest(self, prefix: str, suffix: str) -> Completion:
        """The completion between `prefix` and `suffix`; one typed through costs nothing."""
        if (known := self.recall(prefix, suffix)) is not None:
            return known
        completion = self._attached(prefix, suffix)
        return completion if completion is not None else self._asked(prefix, suffix)

    def recall(self, prefix: str, suffix: str) -> Completion | None:
        """What is left of an earlier answer that the typing agrees with."""
        for past in reversed(list(self._past)):
            if (rest := past.rest(prefix, suffix)) is not None:
                return replace(
                    past.completion, text=rest, tokens=0, prefill_ms=0.0, decode_ms=0.0,
                    cached_tokens=past.completion.prompt_tokens, rule="typed through",
                )  # fmt: skip
        return None

    def remember(self, prefix: str, suffix: str, completion: Completion) -> None:
        """Keep an answer to a request of `request`'s, whoever has brought it forward."""
        if completion.text and completion.stop_reason != "cancelled":
            self._past.append(_Past(prefix, suffix, completion))

    def begin(self, prefix: str, suffix: str) -> Handle:
        """Start an answer without waiting; a later `suggest` that agrees with it attaches to it."""
        self.cancel()
        handle = self.engine.submit(self.request(prefix, suffix))
        self._running = (prefix, suffix, handle)
        return handle

    def _ahead(self, request: Request) -> Handle:
        self._prefetched.append(self.engine.submit(request))
        return self._prefetched[-1]

    def cancel(self) -> None:
        """End what is under way, and what was begun ahead of the typing."""
        for handle in self._prefetched:
            handle.cancel()
        self._prefetched.clear()
        if self._running is not None:
            self._running[2].cancel()
            self._running = None

    def idle(self, prefix: str, suffix: str) -> Iterator[Handle]:
        """What is worth doing while nobody types: the next answer as if the last were accepted,
        and the anchor moved to the cursor's line. Each is queued, of low priority, and yielded."""
        for past in list(self._past)[-1:]:
            rest = past.rest(prefix, suffix)
            if rest and (after := prefix + rest) and self._agrees(after, suffix) is None:
                anchor = self._anchor  # of what is there, not of what may be accepted
                request = self.request(after, suffix, Priority.PREFETCH)
                self._anchor = anchor
                handle = self._ahead(request)
                handle.then(lambda done: self._remember(after, suffix, done))
                yield handle
        line = prefix.rfind("\n") + 1
        if self._anchor is not None and line > len(self._anchor.before):
            self._anchor = self._anchored(prefix[:line], suffix)
            warm = Request(self._anchor.prompt, 0, owner=self.options.owner, priority=Priority.WARM)
            yield self._ahead(warm)

    # -------------------------------------------------------------------------------- answering

    def _asked(self, prefix: str, suffix: str) -> Completion:
        handle = self.begin(prefix, suffix)
        completion = self.engine.wait(handle)
        self._running = None
        self._remember(prefix, suffix, handle)
        return completion

    def _attached(self, prefix: str, suffix: str) -> Completion | None:
        """The answer under way, when what was typed since agrees with it to the end."""
        if self._running is None:
            return None
        before, after, handle = self._running
        typed = prefix[len(before) :]
        while prefix.startswith(before) and suffix == after:
            text = handle.text
            if not (text.startswith(typed) or typed.startswith(text)):
                break
            if handle.done:
                self._running = None
                self._remember(before, after, handle)
                rest = self._agrees(prefix, suffix)
                return replace(handle.result(), text=rest) if rest is not None else None
            self.engine.advance(handle)
        self.cancel()
        return None

    def _agrees(self, prefix: str, suffix: str) -> str | None:
        rests = (past.rest(prefix, suffix) for past in reversed(list(self._past)))
        return next((rest for rest in rests if rest is not None), None)

    def _remember(self, prefix: str, suffix: str, handle: Handle) -> None:
        if handle.completion is not None:
            self.remember(prefix, suffix, handle.completion)

    # ----------------------------------------------------------------------------------- prompt

    def request(self, prefix: str, suffix: str, priority: Priority = Priority.TYPING) -> Request:
        """What is asked of the engine at a cursor; the anchor moves if it must."""
        self._learn(prefix)
        prompt, forced = self._prompt(prefix, suffix)
        options = self.options
        return Request(
            prompt, options.max_tokens, options.sampling, stops=options.stops, prefix=prefix,
            suffix=suffix, language=options.language, forced=forced, priority=priority,
            budget=options.budget, owner=options.owner, sources=tuple(reversed(self._accepted)),
        )  # fmt: skip

    def _learn(self, prefix: str) -> None:
        """An answer that now stands before the cursor was accepted: what it says may come again."""
        past = self._past[-1] if self._past else None
        if past is not None and prefix.startswith(past.prefix + past.completion.text):
            ids = tuple(self.engine.tokenizer.encode(past.completion.text))
            if ids not in self._accepted:
                self._accepted.append(ids)

    def _prompt(self, prefix: str, suffix: str) -> tuple[Prompt, bytes]:
        anchor = self._anchor
        if anchor is None or not self._holds(anchor, prefix, suffix):
            anchor = self._anchored(prefix[: prefix.rfind("\n") + 1], suffix)
        typed = prefix[len(anchor.before) :]
        ids = self.engine.tokenizer.encode(typed)
        if len(ids) > ROOM and "\n" in typed:
            anchor = self._anchored(prefix[: prefix.rfind("\n") + 1], suffix)
            typed = prefix[len(anchor.before) :]
            ids = self.engine.tokenizer.encode(typed)
        self._anchor = anchor
        forced = b""
        if self._vocabulary is not None:
            ids, forced = heal(typed, ids, self._vocabulary)
        ids = ids[-ROOM:]  # one endless line: its beginning goes
        return replace(anchor.prompt, ids=[*anchor.prompt.ids, *ids]), forced

    def _anchored(self, before: str, suffix: str) -> _Anchor:
        if self.options.max_tokens + 2 * ROOM > self.engine.context:
            raise UserError(
                f"max-tokens is {self.options.max_tokens}; this model's context of "
                f"{self.engine.context} has no room for it while somebody types"
            )
        most, front = self.options.max_tokens + ROOM, self._front(before, suffix)
        prompt = self.engine.prompt(
            before, suffix, max_tokens=most, layout=self.layout, front=front
        )
        return _Anchor(before, suffix, prompt)

    def _front(self, prefix: str, suffix: str) -> list[int]:
        """Context from other files; it stays while the cursor stays in a function."""
        around = self._surroundings
        if around is None:
            return []
        tokenizer = self.engine.tokenizer
        return self._pinned.ids(
            around.path, prefix, around.budget, lambda: around.ids(prefix, suffix, tokenizer)
        )

    @staticmethod
    def _holds(anchor: _Anchor, prefix: str, suffix: str) -> bool:
        return suffix == anchor.suffix and prefix.startswith(anchor.before)
