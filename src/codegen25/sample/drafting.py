"""Lookup drafting: the next tokens are guessed from what stands in the prompt already.

Code repeats itself. Where the last tokens of the text stood before, what followed them there is a
draft of what follows now, and the model reads the whole draft in one pass. Draws are drawn at
every drafted position; the draft is accepted while the draw is the drafted token, and the first
draw that differs is the answer's next token.

This is lossless. The draw at a position is a function of the logits there and of the uniform
number that belongs to that position (`sampling.draw`), both of which are the same as in decoding
one by one as long as all tokens before were accepted. By induction the answer is that of decoding
one by one, token for token, greedy or sampled: the two are coupled by common random numbers. A
drafted token d is accepted when the uniform falls into d's interval, with probability p(d): the
acceptance min(1, p/q) of rejection sampling (Leviathan et al., arXiv 2211.17192) for a draft of
one certain token, q(d) = 1. So sharing the numbers costs no acceptance. What remains is rounding:
logits of one pass over k tokens must be those of k passes, or at least give the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

SHORTEST = 3
"""Tokens that a match has at least. Two find twice as many drafts, of which fewer are accepted;
they pay where a drafted token costs less than a fifth of a step."""
ROOM = 8192
"""Tokens that a lookup is built from, at most; about 5 MB."""
BUILD_MS = 0.005
"""What a token costs a lookup's building."""
MOST_MATCHES = 4
"""Matches that are tried for a draft, from the longest."""


class SuffixAutomaton:
    """All that occurs in a growing sequence; knows where its end occurred before.

    Online construction, amortised O(1) a token (Blumer et al. 1985). A state stands for the
    substrings that end at the same places; its suffix link leads to the longest suffix of them
    that also ends elsewhere. The whole sequence's link is thus the longest suffix that occurred
    earlier, and no search is needed.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._latest = [0]
        self._last = self._found = self._end = 0

    def extend(self, token: int) -> None:
        """Append a token; a negative one is a border, which nothing is known to follow."""
        if token < 0:
            self._latest[self._found] = self._end
        self.tokens.append(token)
        end = len(self.tokens)
        state = self._add({}, end, end)
        after, link = self._next, self._link
        at = self._last
        while at != -1 and token not in after[at]:
            after[at][token] = state
            at = link[at]
        link[state] = 0 if at == -1 else self._suffix(at, token)
        self._last = state
        self._found = link[state]
        # The state ends here too from now on; before that, it ended at an earlier place.
        self._end, self._latest[self._found] = self._latest[self._found], end

    def matches(self) -> Iterator[tuple[int, int]]:
        """Suffixes that occurred earlier, the longest first: (tokens, where the occurrence ended).

        One for each place known: shorter suffixes that end where a longer one does are left out.
        The place is a late one, though not always the last.
        """
        state, end = self._found, self._end
        while state > 0:
            yield self._length[state], end
            state = self._link[state]
            end = self._latest[state]

    def _suffix(self, at: int, token: int) -> int:
        """The state of what is reached from `at` by `token`, split off if it holds longer ones."""
        target = self._next[at][token]
        length = self._length[at] + 1
        if self._length[target] == length:
            return target
        clone = self._add(dict(self._next[target]), length, self._latest[target])
        self._link[clone], self._link[target] = self._link[target], clone
        while at != -1 and self._next[at].get(token) == target:
            self._next[at][token] = clone
            at = self._link[at]
        return clone

    def _add(self, after: dict[int, int], length: int, latest: int) -> int:
        self._next.append(after)
        self._link.append(-1)
        self._length.append(length)
        self._latest.append(latest)
        return len(self._length) - 1


class Lookup:
    """Drafts for an answer that follows `prefix`, looked up there and in `others`.

    `others` come in order of their worth: the suffix, accepted history, snippets of other files.
    Where there is more than `room` tokens, the prefix keeps its end and the last of the others go
    first. The answer itself is looked up as it grows (`extend`).
    """

    def __init__(
        self,
        prefix: Sequence[int],
        others: Sequence[Sequence[int]] = (),
        *,
        shortest: int = SHORTEST,
        room: int = ROOM,
    ) -> None:
        if shortest < 1 or room < 1:
            raise ValueError(f"shortest is {shortest} and room {room}; both are at least 1")
        self._shortest, self._room = shortest, room
        near = list(prefix[-room:])
        left, kept = room - len(near), []
        for other in others:
            if taken := list(other[:left]):
                kept.append(taken)
                left -= len(taken)
        # The nearest comes last, where a place in it is found before one further off.
        self._build([*reversed(kept), near])

    def extend(self, token: int) -> None:
        """Add the answer's next token."""
        self._automaton.extend(token)
        if len(self._automaton.tokens) >= 2 * self._room:
            self._build([_after_border(self._automaton.tokens[-self._room :])])

    def draft(self, most: int) -> list[int]:
        """At most `most` tokens that may come next: what followed the longest match.

        [] where no match has `shortest` tokens. A draft ends where the source does that it is
        taken from; a match at a source's very end gives way to the next shorter one.
        """
        tokens = self._automaton.tokens
        for length, end in islice(self._automaton.matches(), MOST_MATCHES):
            if length < self._shortest or most < 1:
                return []
            found = tokens[end : end + most]
            if followed := list(takewhile(_is_token, found)):
                return followed
        return []

    def _build(self, sources: Sequence[Sequence[int]]) -> None:
        """A new automaton. Each source begins with a border of its own, which no match crosses."""
        self._automaton = SuffixAutomaton()
        for index, source in enumerate(sources):
            self._automaton.extend(-1 - index)
            for token in source:
                self._automaton.extend(token)


def _is_token(token: int) -> bool:
    return token >= 0


def _after_border(tokens: Sequence[int]) -> list[int]:
    """The tokens after the last border."""
    return list(takewhile(_is_token, reversed(tokens)))[::-1]


class Gate:
    """How much to draft: as much as pays, by what was accepted and what passes took.

    With a the chance that a drafted token is accepted, a pass over k drafted tokens yields
    1 + a + … + a^k tokens; it pays if that is more per millisecond than one token a step. The
    chance is a ratio of exponential averages over drafts, accepted tokens to tokens tried; a
    pass's time is an exponential average for each width that was tried, and between those it is
    interpolated. Where nothing pays, every `probe`-th call asks for a narrow draft all the same,
    and goes on asking while those are accepted whole: the text may have changed. All of it is a
    function of the calls made, in their order.
    """

    PROBE_WIDTH = 2
    DECAY = 0.9
    """What remains of an average at each new value."""
    OFTEN = 0.3
    """Share of the passes that find a draft, on code; see docs/log.md."""
    PROBE_SHARE = 0.02
    """Where drafts do not pay, making them possible may cost so much of the time since they did."""
    MARGIN = 1.05
    """How much faster drafting has to be than single steps."""

    def __init__(self, most: int = 8, probe: int = 32) -> None:
        if most < 1 or probe < 1:
            raise ValueError(f"most is {most} and probe {probe}; both are at least 1")
        self._most, self._probe = most, probe
        # Hopeful at first, for about as long as it takes to learn better.
        self._accepted, self._tried = 1.6, 2.0
        self._times: dict[int, float] = {}
        self._refused = 0

    @property
    def acceptance(self) -> float:
        """The chance that a drafted token is accepted, as learned."""
        return self._accepted / self._tried

    @property
    def step_ms(self) -> float:
        """Milliseconds of a plain step, as learned; 0 while that is unknown."""
        return self._times.get(0, 0.0)

    @property
    def pays(self) -> bool:
        """Whether drafting gains, as learned."""
        return self._best(self.acceptance)[0] > self.MARGIN

    def saves(self, tokens: int, most: float) -> bool:
        """Whether drafting may be expected to save over `most` milliseconds on so many tokens."""
        if self.OFTEN * tokens * self.step_ms <= most:  # even if all were free
            return False
        gain, _ = self._best(self.acceptance)
        return gain > 1 and (1 - 1 / gain) * self.OFTEN * tokens * self.step_ms > most

    def affords(self, tokens: int, ms: float) -> bool:
        """Whether to spend `ms` milliseconds on making drafts possible: they are expected to save
        that on `tokens` more, or so little would be lost that it may be found out."""
        if self.pays:
            return self.saves(tokens, ms)
        return ms <= self.PROBE_SHARE * self._refused * self.step_ms

    def timed(self, drafted: int, ms: float) -> None:
        """A pass over one token and `drafted` more (0: a plain step) took `ms` milliseconds."""
        if not (0 <= drafted <= self._most and ms > 0):
            raise ValueError(f"{drafted} drafted tokens in {ms} ms; the most is {self._most}")
        known = self._times.get(drafted, ms)
        self._times[drafted] = self.DECAY * known + (1 - self.DECAY) * ms

    def learn(self, drafted: int, accepted: int) -> None:
        """Of `drafted` tokens the first `accepted` were."""
        if drafted < 1 or not 0 <= accepted <= drafted:
            raise ValueError(f"{accepted} of {drafted} tokens cannot be accepted")
        # Tokens after the first that failed were not tried.
        self._accepted = self.DECAY * self._accepted + accepted
        self._tried = self.DECAY * self._tried + min(accepted + 1, drafted)
        if accepted < drafted or self._best(1.0)[0] <= self.MARGIN:
            self._refused = 0

    def width(self) -> int:
        """How many tokens to draft now; 0 for none."""
        if 0 not in self._times:
            return 0
        gain, width = self._best(self.acceptance)
        if gain > self.MARGIN:
            self._refused = 0
            return width
        self._refused += 1
        # Asked for until a draft was found and failed.
        return min(self.PROBE_WIDTH, self._most) if self._refused >= self._probe else 0

    def _best(self, acceptance: float) -> tuple[float, int]:
        """The highest gain and its width: tokens of a pass for the time of so many single steps."""
        if 0 not in self._times:
            return 0.0, 0
        gains, tokens = [], 1.0
        for width in range(1, self._most + 1):
            tokens += acceptance**width
            gains.append((tokens * self._times[0] / self._time(width), -width))
        gain, width = max(gains)
        return gain, -width

    def _time(self, drafted: int) -> float:
        """Milliseconds of a pass; beyond the widest tried, that one's, so that it is tried."""
        below = max(width for width in self._times if width <= drafted)
        above = min((width for width in self._times if width > drafted), default=None)
        if above is None or below == drafted:
            return self._times[below]
        share = (drafted - below) / (above - below)
        return (1 - share) * self._times[below] + share * self._times[above]


@dataclass(frozen=True)
class Guess:
    """Drafted ids, the gate that asked for them, and the milliseconds that drafting took."""

    ids: list[int]
    gate: Gate
    ms: float = 0.0
