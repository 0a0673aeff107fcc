"""One answer under way: from a row of logits to the next id, the text, and the end."""

from __future__ import annotations

import math
import time
from functools import cached_property

import numpy as np

from codegen25.errors import UserError
from codegen25.sample.cache import Slot
from codegen25.sample.drafting import Guess, Lookup
from codegen25.sample.healing import Forced, Vocabulary
from codegen25.sample.request import Completion, Handle, Piece, Request, TokenLogprobs
from codegen25.sample.sampling import COLD, adjust, draw, logprobs, uniforms
from codegen25.sample.stopping import Stopper
from codegen25.tokenizer import Tokenizer

UNSURE = "unsure"
"""The rule that ended an answer before a token; see `Sampling.sure`."""


class Answer:
    """Made when a request is admitted; `pending` are the ids to compute next.

    `prefilling` is whether they are a prompt's, or one's and an answer's that gave way. `guess` is
    what stands in `pending` behind the first, if anything was drafted. Prompt and answer take at
    most `context` ids.
    """

    slot: Slot
    pending: list[int]
    prefilling: bool
    guess: Guess

    def __init__(
        self,
        handle: Handle,
        slot: Slot,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary | None,
        context: int,
    ) -> None:
        request = handle.request
        self.handle, self.request = handle, request
        self.prompt = prompt_of(request)
        self.ids: list[int] = []
        self._unshown = 0
        self._room = context - len(self.prompt)
        self.cached = slot.length
        self.go_on(slot)
        self.drafted = self.accepted = 0
        self._lookup: Lookup | None = None
        chosen = request.sampling
        self._simple = not (chosen.adjusts or chosen.logprobs or chosen.sure)
        self._doubt = 0.0
        """How much less likely than its beginning the answer is, in nats."""
        self._open, self._refused = "", ""
        """Text that may be taken back, and what would have followed it."""
        self._logprobs: list[TokenLogprobs] = []
        self.first: float | None = None
        """When the first id was there."""
        self._stream = tokenizer.stream()
        self._stopper = Stopper(request.stops, request.prefix, request.suffix, request.language)
        self._forced = None
        self._hidden = 0
        if request.forced:
            assert vocabulary is not None
            self._forced = Forced(request.forced, vocabulary)
            self._hidden = self._forced.text_cut

    def go_on(self, slot: Slot) -> None:
        """Begin, or take up again what gave way, with a slot that holds some of it."""
        self.slot, self.prefilling = slot, True
        self.pending = [*self.prompt, *self.ids][slot.length :]

    @property
    def plain(self) -> bool:
        """Whether the next draw needs the row of logits alone."""
        return self._forced is None and self._simple

    @property
    def greedy(self) -> bool:
        """Whether that draw takes the likeliest id."""
        return self.plain and self.request.sampling.temperature < COLD

    @property
    def left(self) -> int:
        """Ids that may still be written."""
        return min(self.request.max_tokens + self._unshown, self._room) - len(self.ids)

    @property
    def undrafted(self) -> bool:
        """Whether nothing was looked up for it yet."""
        return self._lookup is None

    @cached_property
    def uniforms(self) -> list[float]:
        """All draws' numbers."""
        most = self.request.max_tokens + len(self.request.forced)
        return uniforms(self.request.sampling.seed, self.request.key, most)

    @property
    def uniform(self) -> float:
        """The next draw's number; nothing depends on a greedy one's."""
        cold = self.request.sampling.temperature < COLD
        return 0.0 if cold else self.uniforms[len(self.ids)]

    def draft(self, most: int) -> list[int]:
        """At most `most` ids that may come next; the look-up is built when first asked."""
        if self._lookup is None:
            self._lookup = Lookup(self.prompt, self.request.sources, shortest=2)
            for token in self.ids:
                self._lookup.extend(token)
        return self._lookup.draft(most)

    def choose(self, logits: np.ndarray) -> int:
        """The next id from logits (vocabulary,)."""
        sampling = self.request.sampling
        adjusted = adjust(logits, sampling, self.prompt, self.ids)
        if self._forced is not None:
            adjusted = self._forced.restrict(adjusted)
        token = draw(adjusted, sampling, self.uniform)
        if sampling.logprobs or sampling.sure:
            own, top = logprobs(logits, token, sampling.logprobs)
            if sampling.logprobs:
                self._logprobs.append(TokenLogprobs(token, own, tuple(top)))
            if self._forced is not None:  # only what was a choice is a doubt
                own, _ = logprobs(adjusted, token, 0)
            self._doubt -= own
        return token

    def take(self, token: int) -> tuple[str, str | None] | None:
        """Add an id. At the answer's end: the stop reason, and the rule that had enough."""
        if self.first is None:
            self.first = time.perf_counter()
        self.prefilling = False
        if self._is_unsure(token):
            self._refused = self._stream.push(token)
            self._logprobs = self._logprobs[:-1]  # what it would have been
            return "stop", UNSURE
        self.ids.append(token)
        if self._lookup is not None:
            self._lookup.extend(token)
        if self._forced is not None:
            if self._forced.take(token):
                self._unshown += 1
                self._logprobs.clear()
            if self._forced.done:
                self._forced = None
        if token in self.request.prompt.ends:
            self._push(self._stream.flush())
            return "end", None
        if piece := self._stream.push(token):
            self._push(piece)
            if self._stopper.reason is not None:
                return "stop", self._stopper.reason
            enough = self.request.enough
            if enough is not None and enough(self.handle.text):
                return "stop", "enough"
        return ("length", None) if self.left <= 0 else None

    def finish(self, reason: str, rule: str | None) -> None:
        """Show what was held back and tell the handle."""
        rest = self._rest(reason, rule)
        end = time.perf_counter()
        first = self.first or end
        completion = Completion(
            text=self.handle.text + rest,
            stop_reason=reason,
            tokens=len(self.ids) - self._unshown,
            prompt_tokens=len(self.request.prompt.ids),
            prefill_ms=round(1000 * (first - self.handle.asked), 2),
            decode_ms=round(1000 * (end - first), 2),
            rule=rule or self._stopper.reason,
            cached_tokens=self.cached,
            drafted=self.drafted,
            accepted=self.accepted,
            logprobs=tuple(self._logprobs),
            truncated=self.request.prompt.cut,
        )
        self.handle.emit(Piece(rest, completion))
        self.handle.finish(completion)

    def _push(self, text: str) -> None:
        if self._hidden:
            cut = min(self._hidden, len(text))
            self._hidden -= cut
            text = text[cut:]
        if final := self._settled(self._stopper.push(text)):
            self.handle.emit(Piece(final))

    def _settled(self, final: str) -> str:
        """Of text that is final what is shown at once; where the answer may yet end before a token,
        a word that may go on and the blanks around it wait."""
        if not self.request.sampling.sure:
            return final
        text = self._open + final
        at = len(_before_word(text.rstrip()).rstrip())
        self._open = text[at:]
        return text[:at]

    def _rest(self, reason: str, rule: str | None) -> str:
        """What was held back, as far as it is shown at the end."""
        if reason == "cancelled":
            return ""
        kept = reason in ("end", "length", "time") or rule == UNSURE
        rest = self._open + (self._stopper.finish() if kept else "")
        if rule != UNSURE:
            return rest
        goes_on = not self._refused or _in_word(self._refused[0])  # it may be half a character
        return (_before_word(rest) if goes_on else rest).rstrip()

    def _is_unsure(self, token: int) -> bool:
        sure = self.request.sampling.sure
        if not sure or token in self.request.prompt.ends:
            return False
        return self._doubt > -math.log(sure)


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _before_word(text: str) -> str:
    """A text without the word that it ends in."""
    end = len(text)
    while end and _in_word(text[end - 1]):
        end -= 1
    return text[:end]


def prompt_of(request: Request) -> list[int]:
    """A request's prompt; an empty one is a sentinel."""
    return request.prompt.ids or [min(request.prompt.ends)]


def room_of(request: Request, context: int) -> int:
    """Ids that prompt and answer may take of a context."""
    prompt = len(prompt_of(request))
    return prompt + max(1, min(request.max_tokens + len(request.forced), context - prompt))


def require_ids(ids: list[int], vocab_size: int) -> None:
    """Refuse ids that the model has no row for."""
    if ids and not (min(ids) >= 0 and max(ids) < vocab_size):
        bad = next(i for i in ids if not 0 <= i < vocab_size)
        raise UserError(f"token id {bad} is outside the vocabulary of {vocab_size}")
