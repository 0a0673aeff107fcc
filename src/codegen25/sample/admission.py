"""Who is computed: requests from the queue into memory, and out of it again at their ends.

A class goes before those below it. Typing takes the memory of the others; among equals who came
first may not be passed for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from codegen25.sample.answer import Answer, prompt_of, require_ids, room_of
from codegen25.sample.cache import WORTH, Cache, Slot
from codegen25.sample.healing import Vocabulary
from codegen25.sample.prompting import require_fit
from codegen25.sample.request import Completion, Handle, Piece, Priority
from codegen25.sample.runner import Runner
from codegen25.sample.waiting import Waiting
from codegen25.tokenizer import Tokenizer

QUIET_SECONDS = 10.0
"""Since the last request that was typed, until batch work takes what it can get."""
RESERVED = 0.25
"""Share of the memory for keys and values that is kept for typing, if one context takes so much."""
PATIENCE = 2.0
"""Seconds that others may pass a request for which no memory is found."""


class Admission:
    """Requests of one model: those that wait, those computed, and those that gave way."""

    def __init__(self, runner: Runner, tokenizer: Tokenizer, cache: Cache) -> None:
        self.runner, self.tokenizer, self.cache = runner, tokenizer, cache
        self.context = runner.config.max_position_embeddings
        self._reserve = int(min(runner.bytes_of(self.context), RESERVED * cache.bound))
        self._waiting = Waiting()
        self._active: list[Answer] = []
        self._paused: dict[Handle, Answer] = {}
        self.lenders: set[object] = set()
        """Who has waited long for memory beside the requests: typing alone is still admitted."""
        self._vocabulary: Vocabulary | None = None
        self._pressed = -QUIET_SECONDS

    def submit(self, handle: Handle) -> None:
        """Put a request into the queue; what can't be answered is a UserError at once."""
        request = handle.request
        require_ids(request.prompt.ids, self.runner.config.vocab_size)
        require_fit(request.prompt.ids, request.max_tokens, self.context)
        self._waiting.add(handle)
        if request.priority < Priority.BATCH:
            self._pressed = time.perf_counter()

    @property
    def load(self) -> tuple[int, int]:
        """Requests being answered, and waiting."""
        return len(self._active), len(self._waiting)

    @property
    def typing_waits(self) -> bool:
        """Whether memory is missing for who comes next, and that is typing."""
        first = self._waiting.first
        return first is not None and first[0] == Priority.TYPING and first[2].short is not None

    def fail_all(self, error: Exception) -> None:
        """Every request ends with an error."""
        self._fail(self._active, error)
        self._paused.clear()
        while self._waiting:
            self._waiting.pop().finish(None, error)

    # ------------------------------------------------------------------------------- coming in

    def _admit(self) -> None:
        held: list[Handle] = []
        while (first := self._waiting.first) is not None and self._has_row(first[0]):
            handle = self._waiting.pop()
            try:
                begun = self._begin(handle)
            except Exception as error:  # its own request's fault, or its own want of memory
                self._paused.pop(handle, None)
                handle.finish(None, error)
                continue
            if not begun:
                held.append(handle)
                if len(held) > self.runner.rows or _impatient(handle):
                    break  # who comes now is of the same or a lower class
        for handle in held:
            self._waiting.put_back(handle)

    def _has_row(self, priority: int) -> bool:
        """Whether so few of a class and those above it are computed that one more can be; those
        below are paused while there is work of it."""
        if self.lenders and priority > Priority.TYPING:
            return False
        rows = sum(answer.request.priority <= priority for answer in self._active)
        return rows < self.runner.rows

    def _begin(self, handle: Handle) -> bool:
        """Start a request, unless another computes its prompt already or memory is short."""
        request, paused = handle.request, self._paused.get(handle)
        capacity = room_of(request, self.context)
        lower = request.priority > Priority.TYPING
        if lower and handle.short is not None and not self.cache.fits(capacity):
            return False  # asked again at every step, so by arithmetic first
        if paused and not self._quiet and not self.cache.spares(capacity):
            handle.short = handle.short or time.perf_counter()
            return False
        ids = np.array(prompt_of(request) + (paused.ids if paused else []), np.int32)
        # One of a lower class may be paused for as long as there is work of a higher one.
        ahead = (a for a in self._active if a.request.priority <= request.priority)
        shared = max((self._shared(answer, ids, request.owner) for answer in ahead), default=0)
        if shared and shared > self.cache.longest(ids, request.owner):
            return False
        slot = self._slot(ids, capacity, handle)
        if slot is None:
            return False
        try:
            self._active.append(self._answer(handle, slot))
        except Exception:
            self.cache.release(slot)
            raise
        return True

    def _answer(self, handle: Handle, slot: Slot) -> Answer:
        """A new answer, or one that gave way."""
        if (answer := self._paused.pop(handle, None)) is not None:
            answer.go_on(slot)
            return answer
        if handle.request.forced and self._vocabulary is None:
            self._vocabulary = Vocabulary.of(self.tokenizer)
        return Answer(handle, slot, self.tokenizer, self._vocabulary, self.context)

    def _slot(self, ids: np.ndarray, capacity: int, handle: Handle) -> Slot | None:
        """Memory for a request; typing takes that of lower classes."""
        asked = ids, capacity, handle.request.owner
        priority = handle.request.priority
        reserve = self._reserve if priority > Priority.TYPING else 0
        slot = self.cache.acquire(*asked, reserve, priority)
        if slot is None and priority == Priority.TYPING and self._give_way(capacity):
            slot = self.cache.acquire(*asked, reserve, priority)
        if slot is not None:
            handle.short = None
        elif handle.short is None:
            handle.short = time.perf_counter()
        return slot

    def _give_way(self, capacity: int) -> bool:
        """Pause others than typing, the last first, until a request has room.

        What they wrote is kept, and their keys and values for as long as nobody takes the memory.
        They go on where there is room beside what is typed, or when nobody types.
        """
        below = [each for each in self._active if each.request.priority > Priority.TYPING]
        below.sort(key=lambda each: (each.request.priority, each.handle.arrival))
        if not self.cache.fits(capacity, but=[each.slot for each in below]):
            return False
        while not self.cache.fits(capacity):
            answer = below.pop()
            self._active.remove(answer)
            self.cache.release(answer.slot)
            answer.slot.used = 0  # the first to be evicted
            del answer.slot  # or its memory would stay, whoever gets it
            self._paused[answer.handle] = answer
            self._waiting.put_back(answer.handle)
        return True

    @property
    def _quiet(self) -> bool:
        """Whether nobody has typed for a while."""
        return time.perf_counter() - self._pressed >= QUIET_SECONDS

    def _shared(self, answer: Answer, ids: np.ndarray, owner: str) -> int:
        """Tokens that a prompt will have in common with one that is being computed."""
        if not answer.prefilling or answer.request.owner != owner:
            return 0
        least = min(WORTH, len(ids) - 1)
        if answer.prompt[:least] != ids[:least].tolist():
            return 0
        other = np.array(answer.prompt[: len(ids)], np.int32)
        differs = np.flatnonzero(other != ids[: len(other)])
        common = int(differs[0]) if len(differs) else len(other)
        return common if common >= WORTH or common >= len(ids) - 1 else 0

    # ------------------------------------------------------------------------------- going out

    def _end_early(self) -> None:
        now = time.perf_counter()
        for answer in list(self._active):
            if (reason := _over(answer.handle, now)) is not None:
                self._leave(answer, reason)
        if not self._waiting:
            return
        for handle, reason in self._waiting.leave(lambda handle: _over(handle, now)):
            if (paused := self._paused.pop(handle, None)) is not None:
                _finish(paused, reason)
            else:
                prompt = len(handle.request.prompt.ids)
                ended = Completion("", reason, 0, prompt, 0.0, 0.0)
                try:
                    handle.emit(Piece("", ended))
                    handle.finish(ended)
                except Exception as error:  # a callback's fault is its own request's
                    handle.finish(None, error)

    def _fail(self, answers: Iterable[Answer], error: Exception) -> None:
        """What is left of some answers ends with an error, and their slots go."""
        for answer in list(answers):
            if answer in self._active:
                self._leave(answer, error=error)

    def _leave(
        self, answer: Answer, reason: str = "", rule: str | None = None,
        error: Exception | None = None,
    ) -> None:  # fmt: skip
        self._active.remove(answer)
        self.cache.release(answer.slot)
        if error is not None:
            self.cache.drop(answer.slot)  # it may hold what is no number
            answer.handle.finish(None, error)
        else:
            _finish(answer, reason, rule)


def _finish(answer: Answer, reason: str, rule: str | None = None) -> None:
    try:
        answer.finish(reason, rule)
    except Exception as error:  # a callback's fault is its own request's
        answer.handle.finish(None, error)


def _impatient(handle: Handle) -> bool:
    """Whether no memory was found for a request for so long that others may not pass it."""
    return handle.short is not None and time.perf_counter() - handle.short >= PATIENCE


def _over(handle: Handle, now: float) -> str | None:
    """Why a request ends before its answer does, if it does."""
    if handle.cancelled:
        return "cancelled"
    budget = handle.request.budget
    return "time" if budget is not None and now - handle.asked >= budget else None
