"""The typing loops of all editors at once: one `Session` a file that is being typed in."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from codegen25.sample.context import Snippet, render
from codegen25.sample.context.snippet import SIMILAR
from codegen25.sample.engine import Engine
from codegen25.sample.session import Options, Session
from codegen25.serve.ask import Ask
from codegen25.serve.backend import Backend
from codegen25.tokenizer import Tokenizer

MOST = 256


@dataclass(frozen=True)
class Files:
    """Pieces of other files that the client sent along."""

    files: tuple[tuple[str, str], ...]
    path: str
    budget: int

    def ids(self, prefix: str, suffix: str, tokenizer: Tokenizer) -> list[int]:
        """See `session.Surroundings`: the client has chosen, whatever the cursor's place."""
        return front(self.files, tokenizer, self.budget)


def front(files: Sequence[tuple[str, str]], tokenizer: Tokenizer, budget: int) -> list[int]:
    """Ids of other files' texts within a budget, the first ones preferred."""
    snippets = [
        Snippet(path or "snippet", text.strip("\n"), 1 / (1 + i), SIMILAR)
        for i, (path, text) in enumerate(files)
        if text.strip()
    ]
    return render(snippets, tokenizer, budget) if snippets else []


class Typists:
    """Sessions by what they share: the owner, the options, the text behind the cursor.

    Not for several threads at once. The least recently used goes when there are too many.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._sessions: OrderedDict[object, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, ask: Ask) -> Session:
        """The session that a keystroke belongs to."""
        options = Options(
            max_tokens=ask.max_tokens, sampling=ask.sampling, stops=ask.stops,
            language=ask.language, owner=ask.owner, budget=ask.budget,
        )  # fmt: skip
        suffix = hashlib.sha256((ask.suffix or "").encode("utf-8", "surrogatepass")).digest()
        key = (options, suffix, ask.extra)
        session = self._sessions.pop(key, None)
        if session is None:
            files = Files(ask.extra, "", self.backend.context // 4) if ask.extra else None
            # Of the engine it uses what a backend has: it lays out and remembers, and asks nothing.
            session = Session(cast(Engine, self.backend), options, files)
        self._sessions[key] = session
        while len(self._sessions) > MOST:
            self._sessions.popitem(last=False)
        return session
