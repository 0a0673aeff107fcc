"""The loop: admit, compute a chunk of a prompt or the next tokens, draw, stop, emit.

One step is one forward pass over runs of all requests of the highest class that has work. Nothing
here knows threads: whoever calls `step` does the work.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

import numpy as np

from codegen25.errors import UserError
from codegen25.sample.answer import Answer, require_ids
from codegen25.sample.cache import WORTH, Cache
from codegen25.sample.drafting import BUILD_MS, Gate
from codegen25.sample.healing import Vocabulary
from codegen25.sample.prompting import require_fit
from codegen25.sample.request import BusyError, Completion, Handle, Priority
from codegen25.sample.runner import Run, Runner, Striding
from codegen25.sample.sampling import draw_rows
from codegen25.tokenizer import Tokenizer

QUEUE = 4096
MOST_CHUNK, LEAST_CHUNK = 512, 32
MOST_DRAFT = 8
CHUNK_SECONDS, BATCH_SECONDS = 0.1, 0.5
"""A chunk of a prompt is sized to take about so long: a cancelled request ends within it, and one
that is typed waits for it. Batch work takes more at once where nobody types, which is faster."""
QUIET_SECONDS = 10.0
"""Since the last request of a higher class, until batch work takes large chunks."""
STRIDE, STRIDE_MS = 8, 5.0
"""Greedy steps of a lone answer that are taken in one call, at most, and what they may take."""
RESERVED = 0.25
"""Share of the memory for keys and values that is kept for typing, if one context takes so much."""


class Scheduler:
    """Requests of one model, from the queue to their ends."""

    def __init__(
        self, runner: Runner, tokenizer: Tokenizer, never: np.ndarray, cache: Cache
    ) -> None:
        self.runner, self.tokenizer, self.cache = runner, tokenizer, cache
        self.context = runner.config.max_position_embeddings
        self._never = never.astype(np.int32)
        self._striding = runner if isinstance(runner, Striding) else None
        self._reserve = int(min(runner.bytes_of(self.context), RESERVED * cache.bound))
        self._waiting: list[tuple[int, int, Handle]] = []
        self._active: list[Answer] = []
        self._arrivals = 0
        self._vocabulary: Vocabulary | None = None
        self._pace = 0.0
        self._pressed = -QUIET_SECONDS
        self.gate = Gate(MOST_DRAFT)

    def submit(self, handle: Handle) -> None:
        """Put a request into the queue; what can't be answered is a UserError at once."""
        request = handle.request
        require_ids(request.prompt.ids, self.runner.config.vocab_size)
        require_fit(request.prompt.ids, request.max_tokens, self.context)
        if len(self._waiting) >= QUEUE:
            raise BusyError(f"{QUEUE} requests are waiting; ask again later")
        if request.priority < Priority.BATCH:
            self._pressed = time.perf_counter()
        self._arrivals += 1
        heapq.heappush(self._waiting, (int(request.priority), self._arrivals, handle))

    @property
    def load(self) -> tuple[int, int]:
        """Requests being answered, and waiting."""
        return len(self._active), len(self._waiting)

    def step(self) -> bool:
        """One pass; False when there was nothing to do."""
        self._end_early()
        self._admit()
        if not self._active:
            return False
        first = min(answer.request.priority for answer in self._active)
        answers = [answer for answer in self._active if answer.request.priority == first]
        if len(answers) > 1 or not self._stride(answers[0]):
            self._pass(answers)
        return True

    def fail_all(self, error: Exception) -> None:
        """Every request ends with an error: the runner broke."""
        for answer in list(self._active):
            self._leave(answer, error=error)
        while self._waiting:
            heapq.heappop(self._waiting)[2].finish(None, error)

    # ------------------------------------------------------------------------------- coming in

    def _admit(self) -> None:
        held: list[tuple[int, int, Handle]] = []
        while self._waiting and self._has_row(self._waiting[0][0]):
            entry = heapq.heappop(self._waiting)
            try:
                begun = self._begin(entry[2])
            except Exception as error:  # its own request's fault, or its own want of memory
                entry[2].finish(None, error)
                continue
            if not begun:
                held.append(entry)
                if len(held) > self.runner.rows:
                    break
        for entry in held:
            heapq.heappush(self._waiting, entry)

    def _has_row(self, priority: int) -> bool:
        """Whether so few of a class and those above it are computed that one more can be; those
        below are paused while there is work of it."""
        rows = sum(answer.request.priority <= priority for answer in self._active)
        return rows < self.runner.rows

    def _begin(self, handle: Handle) -> bool:
        """Start a request, unless another computes its prompt already or memory is short."""
        request = handle.request
        ids = np.array(request.prompt.ids or [min(request.prompt.ends)], np.int32)
        # One of a lower class may be paused for as long as there is work of a higher one.
        ahead = (a for a in self._active if a.request.priority <= request.priority)
        shared = max((self._shared(answer, ids, request.owner) for answer in ahead), default=0)
        if shared and shared > self.cache.longest(ids, request.owner):
            return False
        reserve = self._reserve if request.priority > Priority.TYPING else 0
        capacity = len(ids) + max(1, request.max_tokens)
        slot = self.cache.acquire(ids, capacity, request.owner, reserve, request.priority)
        if slot is None:
            return False
        try:
            if request.forced and self._vocabulary is None:
                self._vocabulary = Vocabulary.of(self.tokenizer)
            self._active.append(Answer(handle, slot, self.tokenizer, self._vocabulary))
        except Exception:
            self.cache.release(slot)
            raise
        return True

    def _shared(self, answer: Answer, ids: np.ndarray, owner: str) -> int:
        """Tokens that a prompt will have in common with one that is being computed."""
        if not answer.prefilling or answer.request.owner != owner:
            return 0
        other = np.array(answer.prompt[: len(ids)], np.int32)
        differs = np.flatnonzero(other != ids[: len(other)])
        common = int(differs[0]) if len(differs) else len(other)
        return common if common >= WORTH or common >= len(ids) - 1 else 0

    # ------------------------------------------------------------------------------- computing

    def _pass(self, answers: list[Answer]) -> None:
        runs = dict(self._runs(answers))
        start = time.perf_counter()
        logits = self.runner.forward(list(runs.values()))
        self._note_pace(runs, time.perf_counter() - start)
        self._take(runs, logits)

    def _stride(self, answer: Answer) -> bool:
        """Take several greedy steps of a lone answer in one call; False where that is no gain.

        The ids that are drawn meet the rules one by one, as if each had been a step.
        """
        if self._striding is None or (most := self._steps(answer)) < 2:
            return False
        run = Run(answer.slot.keys, answer.slot.length, answer.pending)
        begun = time.perf_counter()
        ids, first = self._striding.stride(run, self._never, answer.request.prompt.ends, most)
        seconds = time.perf_counter() - begun
        if not ids:
            return False
        if len(ids) > 1:
            self.gate.timed(0, 1000 * (seconds - first) / (len(ids) - 1))
        answer.first = answer.first or begun + first
        answer.slot.extend([*answer.pending, *ids[:-1]])
        try:
            self._replay(answer, ids)
        except Exception as error:
            self._leave(answer, error=error)
        return True

    def _steps(self, answer: Answer) -> int:
        """How many steps to take at once: within a few milliseconds, and none where drafts pay."""
        count = len(answer.pending)
        if not answer.greedy or not self.gate.step_ms or count >= LEAST_CHUNK:
            return 0
        if not answer.prefilling and (count > 1 or (not answer.undrafted and self.gate.pays)):
            return 0
        return min(STRIDE, int(STRIDE_MS / self.gate.step_ms), answer.left)

    def _replay(self, answer: Answer, ids: list[int]) -> None:
        for place, token in enumerate(ids):
            ended = ("cancelled", None) if answer.handle.cancelled else answer.take(token)
            if ended is not None:
                answer.slot.truncate(answer.slot.length - (len(ids) - 1 - place))
                self._leave(answer, *ended)
                return
        answer.pending = [ids[-1], *self._draft(answer)]

    def _runs(self, answers: list[Answer]) -> Iterator[tuple[Answer, Run]]:
        """What to compute now: every answer's next tokens, and chunks of prompts within reason."""
        room = self._chunk()
        for answer in answers:
            count = len(answer.pending)
            if answer.prefilling:
                if not room:
                    continue
                count = min(count, room)
                room -= count
            whole = count == len(answer.pending)
            wanted = 0 if not whole else 1 if answer.prefilling else count
            ids = answer.pending[:count]
            yield answer, Run(answer.slot.keys, answer.slot.length, ids, wanted)

    def _chunk(self) -> int:
        fits = int(self._chunk_seconds() * self._pace) // LEAST_CHUNK * LEAST_CHUNK
        return max(LEAST_CHUNK, min(MOST_CHUNK, fits)) if self._pace else MOST_CHUNK // 4

    def _chunk_seconds(self) -> float:
        highest = min((answer.request.priority for answer in self._active), default=0)
        quiet = time.perf_counter() - self._pressed >= QUIET_SECONDS
        return BATCH_SECONDS if quiet and highest == Priority.BATCH else CHUNK_SECONDS

    def _note_pace(self, runs: dict[Answer, Run], seconds: float) -> None:
        # Rows of one token each, however many, say nothing of a chunk.
        chunks = [len(run.ids) for answer, run in runs.items() if answer.prefilling]
        if tokens := sum(size for size in chunks if size >= LEAST_CHUNK):
            pace = tokens / seconds
            self._pace = 0.7 * self._pace + 0.3 * pace if self._pace else pace
        drafts = [len(run.ids) for answer, run in runs.items() if not answer.prefilling]
        if drafts and len(drafts) == len(runs) == 1:
            self.gate.timed(drafts[0] - 1, 1000 * seconds)

    def _take(self, runs: dict[Answer, Run], logits: np.ndarray) -> None:
        logits[:, self._never] = -np.inf
        rows: dict[Answer, np.ndarray] = {}
        at = 0
        for answer, run in runs.items():
            answer.slot.extend(run.ids)
            rows[answer] = logits[at : at + run.wanted]
            at += run.wanted
        drawn = self._draw_together(rows)
        for answer, run in runs.items():
            try:
                self._advance(answer, run, rows[answer], drawn.get(answer))
            except Exception as error:
                self._leave(answer, error=error)

    def _draw_together(self, rows: dict[Answer, np.ndarray]) -> dict[Answer, int]:
        """One id each for all answers that take one and ask nothing special."""
        simple = [
            answer
            for answer, logits in rows.items()
            if len(logits) == 1 and answer.plain and answer.request.max_tokens
        ]
        if len(simple) < 2:
            return {}
        stacked = np.concatenate([rows[answer] for answer in simple])
        samplings = [answer.request.sampling for answer in simple]
        try:
            ids = draw_rows(stacked, samplings, [answer.uniform for answer in simple])
        except UserError:
            return {}  # one of them holds no numbers: each on its own, then
        return dict(zip(simple, ids, strict=True))

    def _advance(self, answer: Answer, run: Run, logits: np.ndarray, drawn: int | None) -> None:
        answer.pending = answer.pending[len(run.ids) :]
        if not run.wanted:
            return
        if not answer.request.max_tokens:
            self._leave(answer, "length")
            return
        draft = [] if answer.prefilling else list(run.ids[1:])
        place, token = 0, -1
        for place, row in enumerate(logits):
            token = drawn if drawn is not None else answer.choose(row)
            if (ended := answer.take(token)) is not None:
                answer.slot.truncate(answer.slot.length - (len(draft) - place))
                self._count(answer, draft, place + (draft[place : place + 1] == [token]))
                self._leave(answer, *ended)
                return
            if place < len(draft) and token != draft[place]:
                break
        # What was computed behind a refused guess is forgotten.
        kept = min(place, len(draft))
        answer.slot.truncate(answer.slot.length - (len(draft) - kept))
        self._count(answer, draft, kept)
        answer.pending = [token, *self._draft(answer)]

    def _count(self, answer: Answer, draft: list[int], accepted: int) -> None:
        if draft:
            answer.drafted += len(draft)
            answer.accepted += accepted
            self.gate.learn(len(draft), accepted)

    def _draft(self, answer: Answer) -> list[int]:
        """A guess at what follows, if guessing pays and this answer is alone."""
        if not answer.request.draft or not answer.plain or not self._alone(answer):
            return []
        left = answer.left - 1
        # The look-up has to be built first.
        if answer.undrafted and not self.gate.saves(left, BUILD_MS * len(answer.prompt)):
            return []
        return answer.draft(width) if (width := min(self.gate.width(), left)) > 0 else []

    def _alone(self, answer: Answer) -> bool:
        """Whether no other of its class or a higher one is computed."""
        own = answer.request.priority
        return sum(each.request.priority <= own for each in self._active) == 1

    # ------------------------------------------------------------------------------- going out

    def _end_early(self) -> None:
        now = time.perf_counter()
        for answer in list(self._active):
            if (reason := _over(answer.handle, now)) is not None:
                self._leave(answer, reason)
        kept, over = [], []
        for entry in self._waiting:
            reason = _over(entry[2], now)
            if reason is None:
                kept.append(entry)
            else:
                over.append((entry[2], reason))
        if over:
            self._waiting = kept
            heapq.heapify(self._waiting)
        for handle, reason in over:
            prompt = len(handle.request.prompt.ids)
            handle.finish(Completion("", reason, 0, prompt, 0.0, 0.0))

    def _leave(
        self, answer: Answer, reason: str = "", rule: str | None = None,
        error: Exception | None = None,
    ) -> None:  # fmt: skip
        self._active.remove(answer)
        self.cache.release(answer.slot)
        if error is not None:
            self.cache.drop(answer.slot)  # it may hold what is no number
        else:
            try:
                answer.finish(reason, rule)
            except Exception as raised:  # a callback's fault is its own request's
                error = raised
        if error is not None:
            answer.handle.finish(None, error)


def _over(handle: Handle, now: float) -> str | None:
    """Why a request ends before its answer does, if it does."""
    if handle.cancelled:
        return "cancelled"
    budget = handle.request.budget
    return "time" if budget is not None and now - handle.asked >= budget else None
