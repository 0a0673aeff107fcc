"""Many people who type at once: each asks after every character, and hangs up on an answer that
has not come when the next is typed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from codegen25.bench.serving.http import Answer, Connection, Target

STAYS = (0.0, 0.005, 0.03, None)
"""Seconds for which those stay who ask and leave, in turn; None: until the first text is there."""
LONGEST_STAY = 10.0


@dataclass
class Seen:
    """What all typists saw.

    `firsts` and `wholes` are seconds to the first text and to the end, of every question but those
    refused: what had not come when a question was given up counts as come just then, so that
    quantiles are those of all questions, and at least what they say.
    """

    firsts: list[float] = field(default_factory=list)
    wholes: list[float] = field(default_factory=list)
    answered: int = 0
    """Questions whose whole answer came in time."""
    late: int = 0
    """Questions that were given up for the next one."""
    busy: int = 0
    """Refused with 503."""
    errors: dict[str, int] = field(default_factory=dict)

    def fault(self, what: str) -> None:
        """Count something that must not happen."""
        self.errors[what] = self.errors.get(what, 0) + 1


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; no number of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=100)[round(100 * share) - 1]


async def type_all(
    target: Target, keystrokes: Sequence[Sequence[bytes]], seconds: float, interval: float
) -> Seen:
    """Every typist types its keystrokes' bodies, over and over, until the time is up.

    `interval` is the mean of the seconds between two characters, which vary as people do.
    """
    seen, end = Seen(), time.perf_counter() + seconds
    await asyncio.gather(*(
        _type(target, bodies, end, interval, Random(i), seen)
        for i, bodies in enumerate(keystrokes)
    ))  # fmt: skip
    return seen


async def _type(
    target: Target, bodies: Sequence[bytes], end: float, interval: float, rng: Random, seen: Seen
) -> None:
    connection = Connection(target)
    await asyncio.sleep(rng.uniform(0, interval))
    at = 0
    while time.perf_counter() < end:
        pause = interval * rng.lognormvariate(-0.125, 0.5)
        due = time.perf_counter() + pause
        try:
            answer = await asyncio.wait_for(connection.post(bodies[at % len(bodies)]), pause)
        except TimeoutError:
            _note_late(seen, connection.first, pause)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            seen.fault(type(error).__name__)
        else:
            _note(seen, answer.status, answer.first, answer.whole)
        at += 1
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    connection.hang_up()


def _note(seen: Seen, status: int, first: float, whole: float) -> None:
    if status == 200:
        seen.answered += 1
        seen.firsts.append(first)
        seen.wholes.append(whole)
    elif status == 503:
        seen.busy += 1
    else:
        seen.fault(f"status {status}")


def _note_late(seen: Seen, first: float | None, pause: float) -> None:
    seen.late += 1
    seen.firsts.append(pause if first is None else first)
    seen.wholes.append(pause)


async def leave(
    target: Target, bodies: Sequence[bytes], rate: float, seconds: float
) -> tuple[float, int]:
    """Ask one body after the other, `rate` a second, and hang up: how many had left a second by the
    end of that time, and how many left in the middle of a streamed answer."""
    begun = time.perf_counter()
    leaving: list[asyncio.Task[bool]] = []
    while (now := time.perf_counter()) < begun + seconds:
        await asyncio.sleep(max(0.0, begun + len(leaving) / rate - now))
        request = target.request(bodies[len(leaving) % len(bodies)])
        stay = STAYS[len(leaving) % len(STAYS)]
        leaving.append(asyncio.create_task(_leave(target, request, stay)))
    left = sum(task.done() for task in leaving) / (time.perf_counter() - begun)
    return left, sum(await asyncio.gather(*leaving))


async def _leave(target: Target, request: bytes, stay: float | None) -> bool:
    """Ask, stay and hang up; whether text had come by then."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(request)
    try:
        if stay is not None:
            await asyncio.sleep(stay)
            return False
        await asyncio.wait_for(reader.readuntil(b"data: "), LONGEST_STAY)
        return True
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.transport.abort()


async def one_by_one(
    target: Target, bodies: Sequence[bytes], between: Callable[[bytes], None] | None = None
) -> list[Answer]:
    """The answers to questions that are asked one after the other; after each, `between` is called
    with it."""
    connection = Connection(target)
    found = []
    for body in bodies:
        found.append(await connection.post(body))
        if between is not None:
            between(body)
    connection.hang_up()
    return found
