"""The same questions without HTTP: an engine in this process, asked in turn with the server."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence

from codegen25.bench.serving.bodies import NEW
from codegen25.bench.serving.http import Answer
from codegen25.bench.serving.typists import quantile
from codegen25.bench.table import Row
from codegen25.sample.engine import Engine
from codegen25.sample.session import Options, Session


class Bare:
    """The typing loop of one file, as the server runs it for a session."""

    def __init__(self, engine: Engine) -> None:
        self._session = Session(engine, Options(NEW))
        self.ms: list[float] = []
        """What each question took."""
        self.texts: list[str] = []

    def ask(self, body: bytes) -> None:
        """Answer the question that a body of `bodies.typed` asks."""
        asked = json.loads(body)
        begun = time.perf_counter()
        found = self._session.suggest(asked["prompt"], asked["suffix"])
        self.ms.append(1000 * (time.perf_counter() - begun))
        self.texts.append(found.text)

    def row(self, answers: Sequence[Answer]) -> Row:
        """What the server took beyond that, question by question."""
        spent = [1000 * answer.whole for answer in answers]
        beyond = [mine - bare for mine, bare in zip(spent, self.ms, strict=True)]
        texts = [json.loads(answer.body)["choices"][0]["text"] for answer in answers]
        return {
            "questions": len(answers),
            "by HTTP, p50 ms": statistics.median(spent),
            "engine alone, p50 ms": statistics.median(self.ms),
            "HTTP beyond the engine, p50 ms": statistics.median(beyond),
            "p95 ms": quantile(beyond, 0.95),
            "other answers": sum(a != b for a, b in zip(texts, self.texts, strict=True)),
        }
