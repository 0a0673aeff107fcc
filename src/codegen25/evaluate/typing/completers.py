"""Who suggests: a model in this process, or a server that speaks OpenAI's completions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codegen25.evaluate.endpoint import Endpoint
from codegen25.evaluate.generate import Settings, weights_sha256
from codegen25.evaluate.typing.replay import Ask
from codegen25.sample.options import Sampling

if TYPE_CHECKING:
    from codegen25.sample.engine import Engine


@dataclass
class Timed:
    """An `Ask` that notes how long each answer took, and how sure of it the model was."""

    ask: Ask
    milliseconds: list[float] = field(default_factory=list)
    confidences: list[float | None] = field(default_factory=list)

    def __call__(self, prefix: str, suffix: str) -> str:
        start = time.perf_counter()
        answer = self.ask(prefix, suffix)
        self.milliseconds.append(1000 * (time.perf_counter() - start))
        self.confidences.append(getattr(self.ask, "confidence", None))
        return answer


class OfEngine:
    """An engine's greedy completions; `confidence` is the last one's mean log-probability."""

    confidence: float | None = None

    def __init__(
        self, engine: Engine, max_tokens: int, layout: str | None, sure: float = 0.0
    ) -> None:
        self._engine, self._max_tokens, self._layout = engine, max_tokens, layout
        self._sampling = Sampling(logprobs=1, sure=sure)

    def __call__(self, prefix: str, suffix: str) -> str:
        answer = self._engine.infill(
            prefix, suffix, max_tokens=self._max_tokens, sampling=self._sampling,
            layout=self._layout,
        )  # fmt: skip
        each = [token.logprob for token in answer.logprobs]
        self.confidence = sum(each) / len(each) if each else None
        return answer.text


def of_model(
    name: str, max_tokens: int, layout: str | None, sure: float = 0.0
) -> tuple[Ask, dict[str, str | int]]:
    """A model's greedy completions as people get them, and what it is."""
    from codegen25.models import resolve
    from codegen25.sample.engine import Engine

    folder = resolve(name)
    engine = Engine.load(folder)

    return OfEngine(engine, max_tokens, layout, sure), {
        "model": folder.resolve().name,
        "parameters": engine.runner.config.parameters,
        "layout": layout or engine.form.layouts[0].value,
        "weights": engine.runner.kind,
        "computing": engine.runner.name,
        "weights_sha256": weights_sha256(folder),
    }


def of_endpoint(url: str, name: str | None, max_tokens: int) -> tuple[Ask, str]:
    """Greedy completions of a server, and its model's name."""
    server = Endpoint(url, name, Settings(max_tokens), tries=1)  # waiting would count

    def ask(prefix: str, suffix: str) -> str:
        return server.complete(prefix, suffix, temperature=0.0, seed=0)[0]

    return ask, server.model
