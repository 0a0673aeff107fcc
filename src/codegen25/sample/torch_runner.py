"""A model computed by torch: any device, no compiler needed.

A chunk of a prompt is computed with a shape of its own. Answers' next tokens are taken together in
a step over the first rows, idle ones included, to which they are moved: a GPU replays the few
shapes of it as graphs.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import nullcontext
from threading import Lock
from typing import NamedTuple
from weakref import WeakValueDictionary

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
_ONE = Lock()
"""Of all runners on GPUs one computes at a time: capturing a graph bears no company."""


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
    """The first `rows` rows of the slots, and their first `columns` places."""

    rows: int
    columns: int

    @classmethod
    def of(cls, rows: int, places: int, most: Window) -> Window:
        """The smallest of few sizes that holds so many: rows by powers of two, places too, and
        from 1,024 on by steps of 512."""
        wide = (
            512 * -(-places // 512) if places > 1024 else max(256, 1 << (places - 1).bit_length())
        )
        tall = 1 << (rows - 1).bit_length()
        return cls(min(tall, most.rows), min(wide, most.columns))


class _Slots(Cache):
    """Keys and values of rows that stand each at a place of its own, `at` (rows,)."""

    def __init__(self, config: ModelConfig, rows: int, capacity: int, like: Tensor) -> None:
        super().__init__(config, rows, capacity, like)
        self.store.zero_()  # what is masked is multiplied by zero, and must be a number
        self.at = torch.zeros(rows, dtype=torch.long, device=like.device)


class _View(Cache):
    """A window of the slots; each of its rows takes one more token, where that row stands."""

    def __init__(self, slots: _Slots, window: Window) -> None:
        self.store, self.length = slots.store[:, :, : window.rows], 0
        self.at = slots.at[: window.rows]
        self._rows = torch.arange(window.rows, device=self.at.device)
        self._columns = torch.arange(window.columns, device=self.at.device)

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
    """A row of the slots, which may become another; given back when nobody holds it."""

    def __init__(self, runner: TorchRunner, row: int) -> None:
        self._runner, self.row, self.capacity = runner, row, runner.capacity

    def __del__(self) -> None:
        self._runner.free.append(self.row)

    @property
    def bytes(self) -> int:
        return self._runner.bytes_of(self.capacity)

    def copy(self, source: Keys, length: int) -> None:
        assert isinstance(source, TorchKeys)
        self._runner.copy(self.row, source.row, length)


def _row(run: Run) -> int:
    assert isinstance(run.keys, TorchKeys)
    return run.keys.row


class _Graph(NamedTuple):
    """A step as a GPU replays it, what it writes, and what it reads besides the weights."""

    graph: torch.cuda.CUDAGraph
    logits: Tensor
    view: _View


class TorchRunner:
    """Computes with a `Llama` on its device; `kind` is what its blocks' weights are."""

    def __init__(self, model: Llama, rows: int = 0, kind: str = "") -> None:
        self.model, self.config = model, model.config
        weight = model.model.embed_tokens.weight
        self.kind = kind or str(weight.dtype).removeprefix("torch.")
        self.device, self._device = weight.device.type, weight.device
        self.capacity = model.config.max_position_embeddings
        self._row_bytes = Cache(model.config, 1, self.capacity, weight.new_empty(0, device="meta"))
        self.rows = rows or self._affordable(weight)
        self.most_bytes = self.rows * self._row_bytes.store.nbytes
        self.free: list[int] = []
        self._held: WeakValueDictionary[int, TorchKeys] = WeakValueDictionary()
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
        row = min(self.free)  # answers then stand side by side
        self.free.remove(row)
        keys = TorchKeys(self, row)
        self._held[keys.row] = keys
        self.clear(keys.row)
        return keys

    def bytes_of(self, capacity: int) -> int:
        return self._row_bytes.store.nbytes

    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        with _ONE if self.device == "cuda" else nullcontext():
            single = [run for run in runs if len(run.ids) == run.wanted == 1]
            if step := len(single) >= (1 if self.device == "cuda" else FEW):
                self._gather(single)
            parts = [Part(_row(run), run.start, run.wanted, run.ids) for run in runs]
            return self.compute(parts, step).float().cpu().numpy()

    def _gather(self, runs: Sequence[Run]) -> None:
        """Make theirs the first rows, so that a step reads those and no others."""
        taken = {_row(run) for run in runs}
        places = [row for row in range(len(runs)) if row not in taken]
        for run in runs:
            if _row(run) >= len(runs):
                self._move(run, places.pop())

    def _move(self, run: Run, row: int) -> None:
        keys = run.keys
        assert isinstance(keys, TorchKeys)
        before, other = keys.row, self._held.get(row)
        if other is None:
            self.clear(row)
            self.copy(row, before, run.start)
            self.free[self.free.index(row)] = before
            del self._held[before]
        else:
            self.swap(before, row)
            other.row = before
            self._held[before] = other
        keys.row = row
        self._held[row] = keys

    # ----------------------------------------------------- what every process does, see `parallel`

    def begin(self, rows: int) -> None:
        """Take the memory of `rows` and one."""
        self.rows = rows
        self.free = list(range(rows + 1))
        self._graphs.clear()
        weight = self.model.model.embed_tokens.weight
        self.slots = _Slots(self.model.config, rows + 1, self.capacity, weight)
        self._fed = torch.zeros(2, rows + 1, dtype=torch.long, device=self._device)
        self.slots.at = self._fed[1]

    def clear(self, row: int) -> None:
        """Make a row's keys and values numbers: what is masked is multiplied by zero."""
        self.slots.store[:, :, row].zero_()

    def copy(self, row: int, source: int, length: int) -> None:
        """Take over the first `length` tokens of another row."""
        store = self.slots.store
        store[:, :, row, :, :length] = store[:, :, source, :, :length]

    def swap(self, row: int, other: int) -> None:
        """Exchange two rows, a layer at a time."""
        for layer in self.slots.store:
            layer[:, [row, other]] = layer[:, [other, row]]

    @torch.inference_mode()
    def compute(self, parts: Sequence[Part], step: bool) -> Tensor:
        """Logits (sum of wanted, vocabulary) on the device.

        With `step` those of one token are computed together; theirs are the first rows.
        """
        with torch.cuda.device(self._device) if self.device == "cuda" else nullcontext():
            together = [part for part in parts if step and part.single]
            stepped = self._step(together) if together else None
            found = []
            for part in parts:
                if stepped is not None and part.single:
                    found.append(stepped[part.row : part.row + 1])
                else:
                    found.append(self._alone(part))
            return torch.cat(found)

    def _alone(self, part: Part) -> Tensor:
        cache = _One(self.slots, part.row, part.start)
        hidden = self.model.hidden(torch.tensor([list(part.ids)], device=self._device), cache)
        return self.model.lm_head(hidden[0, len(part.ids) - part.wanted :])

    def _step(self, parts: Sequence[Part]) -> Tensor:
        rows, starts = [part.row for part in parts], [part.start for part in parts]
        most = Window(self.rows + 1, self.capacity)
        window = Window.of(1 + max(rows), 1 + max(starts), most)
        # An idle row writes to the last place, which no sequence ever uses: its answer ends there.
        fed = torch.tensor([[0], [self.capacity - 1]]).repeat(1, self.rows + 1)
        fed[:, rows] = torch.tensor([[part.ids[0] for part in parts], starts])
        self._fed.copy_(fed)
        if self.device != "cuda":
            return self._window(window, _View(self.slots, window))
        if window not in self._graphs:
            self._graphs[window] = self._captured(window)
        self._graphs[window].graph.replay()
        return self._graphs[window].logits

    def _window(self, window: Window, view: _View) -> Tensor:
        return step(self.model, self._fed[0, : window.rows, None], view)

    def _captured(self, window: Window) -> _Graph:
        view = _View(self.slots, window)
        self._window(window, view)  # warms the libraries up outside the graph
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        pool = next((each.graph.pool() for each in self._graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            logits = self._window(window, view)
        return _Graph(graph, logits, view)

    def end(self) -> None:
        """Let the graphs go: what they hold of a communicator must not outlive it."""
        self._graphs.clear()
        if self.device == "cuda":
            torch.cuda.synchronize(self._device)

    def _affordable(self, weight: Tensor) -> int:
        """As many rows as fit: of the model and the device alone, not of the requests."""
        room = MOST_BYTES
        if weight.device.type == "cuda":
            torch.cuda.empty_cache()
            room = torch.cuda.mem_get_info(weight.device)[0] // 2
        rows = ROWS
        while rows > 1 and (rows + 1) * self._row_bytes.store.nbytes > room:
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
