"""The typing loops of all editors at once: one `Typing` a file that is being typed in."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace

from codegen25.sample.context import Snippet, render
from codegen25.sample.context.snippet import SIMILAR
from codegen25.sample.request import DEFAULT_MAX_TOKENS, Completion, Priority, Request
from codegen25.sample.session import Model, Options, Typing
from codegen25.serve.ask import Ask
from codegen25.tokenizer import Tokenizer

MOST, MOST_BYTES = 256, 64 << 20
"""Typists of a model, and what all of them may hold."""
FRONT_SHARE = 4
"""Other files take at most this part of the context."""


def front(files: Sequence[tuple[str, str]], tokenizer: Tokenizer, budget: int) -> list[int]:
    """Ids of other files' texts within a budget, the first ones preferred."""
    longest = budget * tokenizer.longest_token  # what is longer can't fit, and is not encoded
    snippets = [
        Snippet(path or "snippet", text.strip("\n"), 1 / (1 + i), SIMILAR)
        for i, (path, text) in enumerate(files)
        if text.strip() and len(text.strip("\n")) <= longest
    ]
    return render(snippets, tokenizer, budget) if snippets else []


class Typist(Typing):
    """One file that is being typed in, with the pieces of other files that the client sent along:
    it has chosen, whatever the cursor's place. For one event loop."""

    def __init__(self, model: Model, options: Options, files: tuple[tuple[str, str], ...]) -> None:
        super().__init__(model, options)
        self.held = 0
        """Bytes that it is known to hold."""
        self._files, self._ids = files, list[int]()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        texts = sum(sys.getsizeof(text) for _, text in self._files)
        return super().size + texts + 36 * len(self._ids)

    def known(self, ask: Ask) -> Completion | None:
        """What is left of an earlier answer that the typing agrees with."""
        return self.recall(ask.prefix, ask.suffix or "", ask.max_tokens)

    async def asked(self, ask: Ask) -> Request:
        """What is asked at a cursor. What takes longer than a key is laid out in a thread."""
        near = self.near(ask.prefix, ask.suffix or "", _room(ask, self.model))
        if near and self._lock.acquire(blocking=False):
            try:
                return self._made(ask)
            finally:
                self._lock.release()
        return await asyncio.to_thread(self._made_in_turn, ask)

    def _made_in_turn(self, ask: Ask) -> Request:
        with self._lock:
            return self._made(ask)

    def _made(self, ask: Ask) -> Request:
        priority = Priority.TYPING if ask.max_tokens else Priority.WARM
        room = _room(ask, self.model)
        request = self.request(ask.prefix, ask.suffix or "", priority, max_tokens=room)
        if ask.max_tokens == 0:
            request = replace(request, max_tokens=0, forced=b"")
        return replace(request, budget=ask.budget)

    def _front(self, prefix: str, suffix: str) -> list[int]:
        if self._files:
            budget = self.model.context // FRONT_SHARE
            self._ids, self._files = front(self._files, self.model.tokenizer, budget), ()
        return self._ids


def _room(ask: Ask, model: Model) -> int:
    """Tokens that a prompt leaves room for; one that is only warmed, as many as are usual."""
    return ask.max_tokens or min(DEFAULT_MAX_TOKENS, model.context // FRONT_SHARE)


class Typists:
    """Typists by what they share: the owner, the options, the text behind the cursor, the files.

    For one event loop. The least recently used go when there are too many or they hold too much.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._typists: OrderedDict[Hashable, Typist] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        return len(self._typists)

    @property
    def held(self) -> int:
        """Bytes that all of them hold, roughly."""
        return self._held

    def of(self, ask: Ask) -> Typist:
        """Whom a keystroke belongs to. How much is wanted and how soon are no part of it."""
        options = Options(
            sampling=ask.sampling, stops=ask.stops, language=ask.language, owner=ask.owner
        )
        # Texts by their hashes: what is held must not grow with the files.
        key = (options, hash(ask.suffix or ""), hash(ask.extra))
        typist = self._typists.pop(key, None) or Typist(self.model, options, ask.extra)
        self._typists[key] = typist
        self._weigh(typist)
        return typist

    def remember(self, typist: Typist, ask: Ask, completion: Completion) -> None:
        """Keep the answer to a question of a typist's."""
        typist.remember(ask.prefix, ask.suffix or "", completion)
        self._weigh(typist)

    def _weigh(self, typist: Typist) -> None:
        if typist not in self._typists.values():  # it went meanwhile
            return
        size = typist.size
        self._held += size - typist.held
        typist.held = size
        while len(self._typists) > MOST or (self._held > MOST_BYTES and len(self._typists) > 1):
            _, gone = self._typists.popitem(last=False)
            self._held -= gone.held
