"""A model computed by torch: any device, no compiler needed.

A chunk of a prompt is computed with a shape of its own. Answers' next tokens are taken together in
a step over the rows around them, idle ones included: a GPU replays its few shapes as graphs.
"""

from __future__ import annotations

import gc
import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codegen25.config import ModelConfig
from codegen25.model import Cache, Llama, rotary_angles
from codegen25.sample.runner import Keys, Run

ROWS = 32
MOST_BYTES = 4 << 30
"""All rows' keys and values take at most this on a CPU."""
FEW = 4
"""From so many answers on a step over rows is worth it; on a GPU that replays it, from one on."""
LEAST_COLUMNS, MOST_GRAPHS = 256, 64


class Part(NamedTuple):
    """A run by its row's number: `ids` follow its first `start` tokens."""

    row: int
    start: int
    wanted: int
    ids: Sequence[int]

    @property
    def single(self) -> bool:
        """Whether it is an answer's next token."""
        return len(self.ids) == self.wanted == 1


class Window(NamedTuple):
    """The rows `first` to `end` of the slots, and their first `columns` places."""

    first: int
    end: int
    columns: int

    @classmethod
    def around(cls, parts: Sequence[Part], rows: int, capacity: int) -> Window:
        """The smallest that holds all parts, of few shapes: sizes are powers of two, and rows
        begin at a multiple of their count."""
        numbers, size = [part.row for part in parts], 1
        while min(numbers) // size != max(numbers) // size:
            size *= 2
        columns, needed = LEAST_COLUMNS, 1 + max(part.start for part in parts)
        while columns < needed:
            columns *= 2
        first = min(numbers) // size * size
        return cls(first, min(first + size, rows), min(columns, capacity))


class _Slots(Cache):
    """Keys and values of rows that stand each at a place of its own, `at` (rows,)."""

    def __init__(self, config: ModelConfig, rows: int, capacity: int, like: Tensor) -> None:
        super().__init__(config, rows, capacity, like)
        self.store.zero_()  # what is masked is multiplied by zero, and must be a number
        self.at = torch.zeros(rows, dtype=torch.long, device=like.device)


class _View(Cache):
    """A window of the slots; each of its rows takes one more token, where that row stands."""

    def __init__(self, slots: _Slots, window: Window) -> None:
        first, end, columns = window
        self.store, self.length = slots.store[:, :, first:end], 0
        self.at = slots.at[first:end]
        self._rows = torch.arange(end - first, device=self.at.device)
        self._columns = torch.arange(columns, device=self.at.device)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one token a row; the window's places come back."""
        keys, values = self.store[layer]
        keys[self._rows, :, self.at] = key[:, :, 0]
        values[self._rows, :, self.at] = value[:, :, 0]
        columns = len(self._columns)
        return keys[:, :, :columns], values[:, :, :columns]

    @property
    def mask(self) -> Tensor:
        """What each row sees, (rows, 1, 1, columns)."""
        return (self._columns <= self.at[:, None])[:, None, None]


class _One(Cache):
    """One row of the slots as a cache of its own."""

    def __init__(self, slots: _Slots, row: int, length: int) -> None:
        self.store, self.length = slots.store[:, :, row : row + 1], length


class TorchKeys(Keys):
    """A row of the slots; given back when nobody holds it."""

    def __init__(self, runner: TorchRunner, row: int) -> None:
        self._runner, self.row, self.capacity = runner, row, runner.capacity

    def __del__(self) -> None:
        heapq.heappush(self._runner.free, self.row)

    @property
    def bytes(self) -> int:
        return self._runner.bytes_of(self.capacity)

    def copy(self, source: Keys, length: int) -> None:
        assert isinstance(source, TorchKeys)
        self._runner.copy(self.row, source.row, length)


class _Graph(NamedTuple):
    """A step as a GPU replays it, what it writes, and what it reads besides the weights."""

    graph: torch.cuda.CUDAGraph
    logits: Tensor
    view: _View


class TorchRunner:
    """Computes with a `Llama` on its device."""

    def __init__(self, model: Llama, rows: int = 0) -> None:
        self.model, self.config = model, model.config
        weight = model.model.embed_tokens.weight
        self.kind = str(weight.dtype).removeprefix("torch.")
        self.device, self._device = weight.device.type, weight.device
        self.capacity = model.config.max_position_embeddings
        self._row_bytes = Cache(model.config, 1, self.capacity, weight.new_empty(0, device="meta"))
        self.rows = rows or self._affordable(weight)
        self.most_bytes = self.rows * self._row_bytes.store.nbytes
        self.free: list[int] = []
        self._graphs: dict[Window, _Graph] = {}

    @property
    def name(self) -> str:
        return f"{self.kind} torch {torch.__version__}, {self._device}"

    # ------------------------------------------------------------------------ asked by the engine

    def take(self, bound: int) -> None:
        """Take the memory of as many rows as `bound` bytes hold, at least one, and of one more:
        a copy is made before its source is given up."""
        self.begin(max(1, min(self.rows, bound // self._row_bytes.store.nbytes)))

    def allocate(self, capacity: int) -> TorchKeys:
        if not self.free:
            gc.collect()  # an error's traceback may hold rows that nobody uses
        if not self.free:
            raise MemoryError("all rows are in use")
        row = heapq.heappop(self.free)  # the lowest: answers stand side by side
        self.clear(row)
        return TorchKeys(self, row)

    def bytes_of(self, capacity: int) -> int:
        return self._row_bytes.store.nbytes

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        parts = []
        for run in runs:
            assert isinstance(run.keys, TorchKeys)
            parts.append(Part(run.keys.row, run.start, run.wanted, run.ids))
        return self.compute(parts).float().cpu().numpy()

    # ----------------------------------------------------- what every process does, see `parallel`

    def begin(self, rows: int) -> None:
        """Take the memory of `rows` and one."""
        self.rows = rows
        self.free = list(range(rows + 1))
        weight = self.model.model.embed_tokens.weight
        self.slots = _Slots(self.model.config, rows + 1, self.capacity, weight)
        self._ids = torch.zeros(rows + 1, 1, dtype=torch.long, device=self._device)

    def clear(self, row: int) -> None:
        """Make a row's keys and values numbers: what is masked is multiplied by zero."""
        self.slots.store[:, :, row].zero_()

    def copy(self, row: int, source: int, length: int) -> None:
        """Take over the first `length` tokens of another row."""
        store = self.slots.store
        store[:, :, row, :, :length] = store[:, :, source, :, :length]

    @torch.inference_mode()
    def compute(self, parts: Sequence[Part]) -> Tensor:
        """Logits (sum of wanted, vocabulary) on the device."""
        single = [i for i, part in enumerate(parts) if part.single]
        together = single if len(single) >= (1 if self.device == "cuda" else FEW) else []
        stepped = dict(
            zip(together, self._step([parts[i] for i in together]), strict=True)
            if together else ()
        )  # fmt: skip
        return torch.cat(
            [
                stepped[i][None] if i in stepped else self._alone(part)
                for i, part in enumerate(parts)
            ]
        )

    def _alone(self, part: Part) -> Tensor:
        cache = _One(self.slots, part.row, part.start)
        hidden = self.model.hidden(torch.tensor([list(part.ids)], device=self._device), cache)
        return self.model.lm_head(hidden[0, len(part.ids) - part.wanted :])

    def _step(self, parts: Sequence[Part]) -> Tensor:
        window = Window.around(parts, self.rows + 1, self.capacity)
        rows = [part.row for part in parts]
        self._ids[rows, 0] = torch.tensor([part.ids[0] for part in parts], device=self._device)
        # An idle row writes to the last place, which no sequence ever uses: its answer ends there.
        at = torch.full((self.rows + 1,), self.capacity - 1)
        at[rows] = torch.tensor([part.start for part in parts])
        self.slots.at.copy_(at)
        return self._replayed(window)[[row - window.first for row in rows]]

    def _replayed(self, window: Window) -> Tensor:
        ids, view = self._ids[window.first : window.end], _View(self.slots, window)
        if self.device != "cuda":
            return step(self.model, ids, view)
        if window not in self._graphs:
            if len(self._graphs) >= MOST_GRAPHS:
                self._graphs.clear()
            step(self.model, ids, view)  # warms the libraries up outside the graph
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            pool = next((each.graph.pool() for each in self._graphs.values()), None)
            with torch.cuda.graph(graph, pool=pool):
                logits = step(self.model, ids, view)
            self._graphs[window] = _Graph(graph, logits, view)
        self._graphs[window].graph.replay()
        return self._graphs[window].logits

    def _affordable(self, weight: Tensor) -> int:
        """As many rows as fit: of the model and the device alone, not of the requests."""
        room = MOST_BYTES
        if weight.device.type == "cuda":
            room = torch.cuda.mem_get_info(weight.device)[0] // 2
        rows = ROWS
        while rows > 1 and rows * self._row_bytes.store.nbytes > room:
            rows //= 2
        return rows


def step(model: Llama, ids: Tensor, slots: _View) -> Tensor:
    """Logits (rows, vocabulary) after one more token a row, `ids` (rows, 1)."""
    x = model.model.embed_tokens(ids)
    cos, sin = rotary_angles(slots.at, model.config.head_dim, model.config.rope_theta)
    angles = (cos[:, None, None].to(x.dtype), sin[:, None, None].to(x.dtype))
    mask = slots.mask
    for i, layer in enumerate(model.model.layers):
        x = layer(x, angles, i, slots, mask)
    logits: Tensor = model.lm_head(model.model.norm(x))[:, 0]
    return logits
