"""Many answers at once, each the same whatever is decoded beside it.

Every step computes `rows` tokens over `capacity` keys, idle rows and unused keys included: a row's
products have the same shapes in any company, and its draws are its own. A row that ends makes
room for the next request at once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from codegen25.errors import UserError
from codegen25.infill import Prompt
from codegen25.model import Cache, Llama, ModelConfig, rotary_angles
from codegen25.sample.options import Sampling
from codegen25.sample.sampling import COLD

if TYPE_CHECKING:
    from codegen25.sample.engine import Completion, Engine

ROWS = 32
"""Answers decoded at once, fewer where their keys and values would take more than `MOST_BYTES`."""
MOST_BYTES = 4 << 30
CAPACITY_STEP = 128
NUCLEUS = 128
"""Likeliest ids that are looked at first; only a flatter distribution is sorted whole."""


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    `key` names its draws together with the sampling's seed. `enough`, if given, is asked with the
    text so far and ends the answer with the stop reason "stop".
    """

    prompt: Prompt
    max_tokens: int
    sampling: Sampling
    key: str = ""
    enough: Callable[[str], bool] | None = None


class Slots(Cache):
    """Keys and values of rows that stand each at a place of its own, `at` (rows,)."""

    def __init__(self, config: ModelConfig, rows: int, capacity: int, like: Tensor) -> None:
        super().__init__(config, rows, capacity, like)
        self.store.zero_()  # what is masked is multiplied by zero, and must be a number
        self.at = torch.zeros(rows, dtype=torch.long, device=like.device)
        self._rows = torch.arange(rows, device=like.device)
        self._columns = torch.arange(capacity, device=like.device)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one token a row; all of the layer's capacity comes back."""
        keys, values = self.store[layer]
        keys[self._rows, :, self.at] = key[:, :, 0]
        values[self._rows, :, self.at] = value[:, :, 0]
        return keys, values

    def place(self, row: int, prompt: Cache) -> None:
        """Begin a row with the keys and values of a prompt."""
        self.store[:, :, row, :, : prompt.length] = prompt.store[:, :, 0, :, : prompt.length]
        self.at[row] = prompt.length

    @property
    def mask(self) -> Tensor:
        """What each row sees, (rows, 1, 1, capacity)."""
        return (self._columns <= self.at[:, None])[:, None, None]


def step(model: Llama, ids: Tensor, slots: Slots) -> Tensor:
    """Logits (rows, vocabulary) after one more token a row, `ids` (rows, 1)."""
    x = model.model.embed_tokens(ids)
    cos, sin = rotary_angles(slots.at, model.config.head_dim, model.config.rope_theta)
    angles = (cos[:, None, None].to(x.dtype), sin[:, None, None].to(x.dtype))
    mask = slots.mask
    for i, layer in enumerate(model.model.layers):
        x = layer(x, angles, i, slots, mask)
    logits: Tensor = model.lm_head(model.model.norm(x))[:, 0]
    return logits


def draw_rows(logits: Tensor, sampling: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """The next id of each row of logits (rows, vocabulary), by one uniform number a row."""
    if logits.amax(-1).isnan().any():
        raise UserError("the model computes no numbers (NaN): its weights are damaged")
    likeliest = logits.argmax(-1).tolist()
    drawn = [row for row, each in enumerate(sampling) if each.temperature >= COLD]
    if not drawn:
        return likeliest
    temperatures = logits.new_tensor([sampling[row].temperature for row in drawn]).float().cpu()
    wide = logits[drawn].float().cpu()
    shifted = wide - wide.amax(-1, keepdim=True)
    mass = torch.softmax(shifted / temperatures[:, None], dim=-1)
    near, ids = mass.topk(min(NUCLEUS, mass.shape[-1]), dim=-1)
    for i, row in enumerate(drawn):
        top_p, order, values = sampling[row].top_p, ids[i], near[i]
        if float(values.sum()) < top_p:
            values, order = mass[i].sort(descending=True, stable=True)
        likeliest[row] = int(order[_place(values, top_p, uniforms[row])])
    return likeliest


def _place(values: Tensor, top_p: float, uniform: float) -> int:
    """Which of `values`, sorted probabilities, is drawn from the smallest set of mass top_p."""
    sums = np.cumsum(values.numpy().astype(np.float64))
    kept = int(np.searchsorted(sums, top_p)) + 1 if top_p < 1 else len(sums)
    kept = min(kept, len(sums))
    return min(int(np.searchsorted(sums[:kept], uniform * sums[kept - 1], "right")), kept - 1)


def uniforms(seed: int, key: str, count: int) -> list[float]:
    """The draws of one answer: a function of the seed and the answer's key alone."""
    digest = sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    drawn: list[float] = np.random.default_rng(list(digest)).random(count).tolist()
    return drawn


@dataclass
class _Row:
    """An answer under way."""

    index: int
    request: Request
    engine: Engine
    start: float
    prefill_ms: float
    shown: list[str] = field(default_factory=list)
    count: int = 0
    token: int = -1

    def __post_init__(self) -> None:
        sampling = self.request.sampling
        self.uniforms = uniforms(sampling.seed, self.request.key, self.request.max_tokens)
        self.stream = self.engine.tokenizer.stream()

    def take(self, token: int) -> Completion | None:
        """Add a token; the whole answer when this was its last."""
        self.token, self.count = token, self.count + 1
        if token in self.request.prompt.ends:
            self.shown.append(self.stream.flush())
            return self._completion("end")
        if piece := self.stream.push(token):
            self.shown.append(piece)
            if self.request.enough is not None and self.request.enough("".join(self.shown)):
                return self._completion("stop")
        return self._completion("length") if self.count == self.request.max_tokens else None

    def _completion(self, reason: str) -> Completion:
        from codegen25.sample.engine import Completion

        return Completion(
            text="".join(self.shown),
            stop_reason=reason,
            tokens=self.count,
            prompt_tokens=len(self.request.prompt.ids),
            prefill_ms=round(self.prefill_ms, 2),
            decode_ms=round(1000 * (time.perf_counter() - self.start), 2),
        )


def answer_all(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
    """Every request's index and answer, as they end.

    Neighbouring requests of the same prompt share its prefill.
    """
    classes: dict[int, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        length = max(1, len(request.prompt.ids)) + request.max_tokens
        classes[-(-length // CAPACITY_STEP) * CAPACITY_STEP].append(index)
    for capacity, indexes in sorted(classes.items()):
        yield from _Batch(engine, capacity).run(requests, indexes)


class _Batch:
    """Rows of one capacity."""

    def __init__(self, engine: Engine, capacity: int) -> None:
        self.engine, self.model = engine, engine.model
        config, weight = engine.model.config, engine.model.model.embed_tokens.weight
        self.slots = Slots(config, rows_of(config, capacity, weight), capacity, weight)
        self.rows: list[_Row | None] = [None] * len(self.slots.at)
        self._prompt: tuple[list[int], Tensor, Cache] | None = None

    @torch.inference_mode()
    def run(
        self, requests: Sequence[Request], indexes: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        waiting = list(reversed(indexes))
        while waiting or any(self.rows):
            for place, row in enumerate(self.rows):
                while row is None and waiting:
                    index = waiting.pop()
                    row, answer = self._begin(place, index, requests[index])
                    if answer is not None:
                        yield index, answer
            if any(self.rows):
                yield from self._step()

    def _begin(
        self, place: int, index: int, request: Request
    ) -> tuple[_Row | None, Completion | None]:
        start = time.perf_counter()
        if self._prompt is None or self._prompt[0] != request.prompt.ids:
            self._prompt = (request.prompt.ids, *self.engine.prefill(request.prompt, 0))
        _, logits, cache = self._prompt
        begun = time.perf_counter()
        row = _Row(index, request, self.engine, begun, 1000 * (begun - start))
        [token] = draw_rows(
            self.engine.without_control(logits[None]), [request.sampling], row.uniforms[:1]
        )
        if (answer := row.take(token)) is not None:
            return None, answer
        self.slots.place(place, cache)
        self.rows[place] = row
        return row, None

    def _step(self) -> Iterator[tuple[int, Completion]]:
        tokens = [[row.token if row else 0] for row in self.rows]
        logits = step(self.model, torch.tensor(tokens, device=self.engine.device), self.slots)
        logits = self.engine.without_control(logits)
        active = [(place, row) for place, row in enumerate(self.rows) if row is not None]
        self.slots.at[[place for place, _ in active]] += 1
        sampling = [row.request.sampling if row else _IDLE for row in self.rows]
        draws = [row.uniforms[row.count] if row else 0.0 for row in self.rows]
        ids = draw_rows(logits, sampling, draws)
        for place, row in active:
            if (answer := row.take(ids[place])) is not None:
                self.rows[place] = None
                self.slots.at[place] = 0
                yield row.index, answer


_IDLE = Sampling()


def rows_of(config: ModelConfig, capacity: int, weight: Tensor) -> int:
    """How many rows are decoded at once: of the model and the capacity alone, not the requests."""
    a_row = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim
    a_row *= capacity * weight.element_size()
    rows = ROWS
    while rows > 1 and rows * a_row > MOST_BYTES:
        rows //= 2
    return rows
