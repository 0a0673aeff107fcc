"""The steps: admit, compute a chunk of a prompt or the next tokens, draw, stop, emit.

One step is one forward pass over runs of all requests of the highest class that has work. Nothing
here knows threads: whoever calls `step` does the work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import numpy as np

from codegen25.errors import UserError
from codegen25.sample.admission import Admission
from codegen25.sample.answer import Answer
from codegen25.sample.cache import Cache
from codegen25.sample.draft_model import DraftModel
from codegen25.sample.drafting import BUILD_MS, Gate, Guess
from codegen25.sample.request import Priority
from codegen25.sample.runner import Run, Runner, Striding
from codegen25.sample.sampling import draw_rows
from codegen25.tokenizer import Tokenizer
from codegen25.traced import traced

MOST_CHUNK, LEAST_CHUNK = 512, 32
MOST_DRAFT = 8
CHUNK_SECONDS, BATCH_SECONDS = 0.1, 0.5
"""A chunk of a prompt is sized to take about so long: a cancelled request ends within it, and one
that is typed waits for it. Batch work takes more at once where nobody types, which is faster."""
STRIDE, STRIDE_MS = 8, 5.0
"""Greedy steps of a lone answer that are taken in one call, at most, and what they may take."""
log = logging.getLogger(__name__)


class Scheduler(Admission):
    """Computes what was admitted."""

    def __init__(
        self, runner: Runner, tokenizer: Tokenizer, never: np.ndarray, cache: Cache,
        model: DraftModel | None = None,
    ) -> None:  # fmt: skip
        super().__init__(runner, tokenizer, cache)
        self._never = never.astype(np.int32)
        self._striding = runner if isinstance(runner, Striding) else None
        self._pace = 0.0
        self.gate, self.model = Gate(MOST_DRAFT), model

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

    def _pass(self, answers: list[Answer]) -> None:
        runs = dict(self._runs(answers))
        start = time.perf_counter()
        try:
            logits = self.runner.forward(list(runs.values()))
            self._note_pace(runs, time.perf_counter() - start)
            self._take(runs, logits)
        except Exception as error:  # others, and the next pass, may do better
            self._fail(runs, error)

    def _stride(self, answer: Answer) -> bool:
        """Take several greedy steps of a lone answer in one call; False where that is no gain.

        The ids that are drawn meet the rules one by one, as if each had been a step.
        """
        if self._striding is None or (most := self._steps(answer)) < 2:
            return False
        run = Run(answer.slot.keys, answer.slot.length, answer.pending)
        begun = time.perf_counter()
        ends = answer.request.prompt.ends
        try:
            ids, first = self._striding.stride(run, self._never, ends, most)
        except Exception as error:
            self._fail([answer], error)
            return True
        seconds = time.perf_counter() - begun
        if not ids:
            return False
        if len(ids) > 1:
            self._note_step(1000 * (seconds - first) / (len(ids) - 1))
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
        batch = highest == Priority.BATCH and self._quiet
        return BATCH_SECONDS if batch else CHUNK_SECONDS

    def _note_pace(self, runs: dict[Answer, Run], seconds: float) -> None:
        # Rows of one token each, however many, say nothing of a chunk.
        chunks = [len(run.ids) for answer, run in runs.items() if answer.prefilling]
        if tokens := sum(size for size in chunks if size >= LEAST_CHUNK):
            pace = tokens / seconds
            self._pace = 0.7 * self._pace + 0.3 * pace if self._pace else pace
        [answer, *others] = runs
        if answer.prefilling or others:
            return
        if drafted := len(runs[answer].ids) - 1:
            answer.guess.gate.timed(drafted, answer.guess.ms + 1000 * seconds)
        else:
            self._note_step(1000 * seconds)

    def _note_step(self, ms: float) -> None:
        self.gate.timed(0, ms)
        if self.model is not None:
            self.model.gate.timed(0, ms)

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
            answer.guess.gate.learn(len(draft), accepted)

    def _draft(self, answer: Answer) -> list[int]:
        """A guess at what follows, if guessing pays and this answer is alone."""
        if not answer.request.draft or not answer.plain or not self._alone(answer):
            return []
        answer.guess = Guess(self._look_up(answer), self.gate)
        if not answer.guess.ids and self.model is not None:
            answer.guess = self._by_model(answer, self.model)
        return answer.guess.ids

    def _look_up(self, answer: Answer) -> list[int]:
        width, left = self.gate.width(), answer.left - 1
        if (width := min(width, left)) < 1:
            return []
        # The look-up has to be built first.
        if answer.undrafted and not self.gate.affords(left, BUILD_MS * len(answer.prompt)):
            return []
        return answer.draft(width)

    def _by_model(self, answer: Answer, model: DraftModel) -> Guess:
        begun, left = time.perf_counter(), answer.left - 1
        try:
            ids = list[int]()
            if (width := model.width(len(answer.prompt) + len(answer.ids), left)) > 0:
                text = [*answer.prompt, *answer.ids]
                ids = model.draft(text, answer.request, left, width, self._chunk())
        except Exception as error:  # the answer does without
            log.warning("the draft model failed and drafts no more: %s", traced(error))
            ids, self.model = [], None
        return Guess(ids, model.gate, 1000 * (time.perf_counter() - begun))

    def _alone(self, answer: Answer) -> bool:
        """Whether no other of its class or a higher one is computed."""
        own = answer.request.priority
        return sum(each.request.priority <= own for each in self._active) == 1
