"""A model computed by torch: any device, no compiler needed.

A sequence alone is mostly computed with shapes of its own. From a few on, every answer's next
token is taken in one step of fixed shape over all rows, idle ones included, which a GPU replays as
a graph.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codegen25.config import ModelConfig
from codegen25.model import Cache, Llama, rotary_angles
from codegen25.sample.runner import Keys, Run

ROWS = 32
MOST_BYTES = 4 << 30
"""All rows' keys and values take at most this on a CPU."""
FEW, LITTLE = 4, 1 << 30
"""From so many rows on a step of all of them is worth it; on a GPU that replays it, from one on
where all rows together take at most so many bytes, which each step reads."""


class _Slots(Cache):
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

    @property
    def mask(self) -> Tensor:
        """What each row sees, (rows, 1, 1, capacity)."""
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
        self._runner.free.append(self.row)

    @property
    def bytes(self) -> int:
        return self._runner.bytes_of(self.capacity)

    def copy(self, source: Keys, length: int) -> None:
        assert isinstance(source, TorchKeys)
        store = self._runner.slots.store
        store[:, :, self.row, :, :length] = store[:, :, source.row, :, :length]


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
        self._graph: torch.cuda.CUDAGraph | None = None
        self._graph_logits: Tensor | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} torch {torch.__version__}, {self._device}"

    def take(self, bound: int) -> None:
        """Take the memory of as many rows as `bound` bytes hold, at least one, and of one more:
        a copy is made before its source is given up."""
        self.rows = max(1, min(self.rows, bound // self._row_bytes.store.nbytes))
        self.free = list(range(self.rows + 1))
        weight = self.model.model.embed_tokens.weight
        self.slots = _Slots(self.config, self.rows + 1, self.capacity, weight)
        self._ids = torch.zeros(self.rows + 1, 1, dtype=torch.long, device=self._device)
        little = self.device == "cuda" and self.slots.store.nbytes <= LITTLE
        self._few = 1 if little else FEW

    def allocate(self, capacity: int) -> TorchKeys:
        if not self.free:
            gc.collect()  # an error's traceback may hold rows that nobody uses
        if not self.free:
            raise MemoryError("all rows are in use")
        row = self.free.pop()
        self.slots.store[:, :, row].zero_()  # what is masked must be a number
        return TorchKeys(self, row)

    def bytes_of(self, capacity: int) -> int:
        return self._row_bytes.store.nbytes

    @torch.inference_mode()
    def forward(self, runs: Sequence[Run]) -> np.ndarray:
        single = [i for i, run in enumerate(runs) if len(run.ids) == run.wanted == 1]
        together = set(single if len(single) >= self._few else ())
        logits: list[Tensor | None] = [
            None if i in together else self._alone(run) for i, run in enumerate(runs)
        ]
        if together:
            rows = self._step([runs[i] for i in sorted(together)])
            for i, row in zip(sorted(together), rows, strict=True):
                logits[i] = row[None]
        return torch.cat([each for each in logits if each is not None]).float().cpu().numpy()

    def _alone(self, run: Run) -> Tensor:
        assert isinstance(run.keys, TorchKeys)
        cache = _One(self.slots, run.keys.row, run.start)
        hidden = self.model.hidden(torch.tensor([list(run.ids)], device=self._device), cache)
        return self.model.lm_head(hidden[0, len(run.ids) - run.wanted :])

    def _step(self, runs: Sequence[Run]) -> Tensor:
        rows = []
        for run in runs:
            assert isinstance(run.keys, TorchKeys)
            rows.append(run.keys.row)
        self._ids.zero_()
        self._ids[rows, 0] = torch.tensor([run.ids[0] for run in runs], device=self._device)
        # An idle row writes to the last place, which no sequence ever uses: its answer ends there.
        at = torch.full((self.rows + 1,), self.capacity - 1)
        at[rows] = torch.tensor([run.start for run in runs])
        self.slots.at.copy_(at)
        return self._replayed()[rows]

    def _replayed(self) -> Tensor:
        if self.device != "cuda":
            return step(self.model, self._ids, self.slots)
        if self._graph is None:
            step(self.model, self._ids, self.slots)  # warms the libraries up outside the graph
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._graph_logits = step(self.model, self._ids, self.slots)
        self._graph.replay()
        assert self._graph_logits is not None
        return self._graph_logits

    def _affordable(self, weight: Tensor) -> int:
        """As many rows as fit: of the model and the device alone, not of the requests."""
        room = MOST_BYTES
        if weight.device.type == "cuda":
            room = torch.cuda.mem_get_info(weight.device)[0] // 2
        rows = ROWS
        while rows > 1 and rows * self._row_bytes.store.nbytes > room:
            rows //= 2
        return rows


def step(model: Llama, ids: Tensor, slots: _Slots) -> Tensor:
    """Logits (rows, vocabulary) after one more token a row, `ids` (rows, 1)."""
    x = model.model.embed_tokens(ids)
    cos, sin = rotary_angles(slots.at, model.config.head_dim, model.config.rope_theta)
    angles = (cos[:, None, None].to(x.dtype), sin[:, None, None].to(x.dtype))
    mask = slots.mask
    for i, layer in enumerate(model.model.layers):
        x = layer(x, angles, i, slots, mask)
    logits: Tensor = model.lm_head(model.model.norm(x))[:, 0]
    return logits
