"""The candidate as a test sees it: a function that asks another process."""

from __future__ import annotations

import builtins
import os
from typing import Any, NoReturn

from .frames import Channel, ClosedError, ViolationError
from .outcome import Outcome, line, of_exception
from .values import OpaqueError, pack, replace, unpack


class Gone(BaseException):
    """The candidate is no more; no `except Exception` of a test catches this."""


class ToldError(Exception):
    """Mixed into what the candidate raised, so that it is known from the test's own."""

    told: dict[str, Any]


class Remote:
    """The candidate, by calls over a socket. It remembers what ended it, whatever the test does."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.final: Outcome | None = None
        self.vanished = False
        self._gave = False

    def start(self) -> None:
        """Wait until the module has run."""
        reply = self._receive()
        if reply.get("ready") is not True:
            told = reply.get("raised")
            self._end(of_exception(told if type(told) is dict else {}))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What a test calls in the candidate's place."""
        if self.final or self.vanished:
            raise Gone
        call = os.urandom(8).hex()  # not to be known before it is asked
        try:
            asked = {"call": call, "args": [pack(each) for each in args],
                     "kwargs": {name: pack(each) for name, each in kwargs.items()}}  # fmt: skip
        except OpaqueError as error:
            if self._gave and error.plain:  # what it answered comes back to it
                self._end(("failed", f"it made the test pass {error}, which cannot cross"))
            self._end(("infra-error", f"the test passes {error}, which cannot cross"))
        try:
            self._channel.send(asked)
        except ClosedError:
            self.vanished = True
            raise Gone from None
        reply = self._receive()
        if reply.get("call") != call:
            self._end(("failed", "it answered what was not asked"))
        if "opaque" in reply:
            self._end(("opaque-return", line(str(reply["opaque"]))))
        try:
            self._gave |= type(reply.get("value")) in (list, dict) or "args" in reply
            self._mutate(args, reply.get("args"))
            if "raised" not in reply:
                return unpack(reply["value"])
        except (ValueError, TypeError, LookupError, OverflowError, AttributeError, ArithmeticError):
            self._end(("failed", "it answered no value"))
        raise self._exception(reply["raised"])

    def finish(self) -> None:
        """Once the test is through: nothing may be left that nobody asked for."""
        if self._channel.waits() and not self.vanished:
            self.final = self.final or ("failed", "it said more than it was asked")

    def _receive(self) -> dict[str, Any]:
        try:
            reply = self._channel.receive()
        except ClosedError:
            self.vanished = True
            raise Gone from None
        except ViolationError as error:
            self._end(("failed", f"it answered no message ({error})"))
        if type(reply) is not dict:
            self._end(("failed", "it answered no message"))
        return reply

    def _end(self, outcome: Outcome) -> NoReturn:
        self.final = outcome
        raise Gone

    @staticmethod
    def _mutate(args: tuple[Any, ...], after: Any) -> None:
        if after is not None:
            for old, new in zip(args, after, strict=True):
                replace(old, unpack(new))

    def _exception(self, told: Any) -> Exception:
        told = told if type(told) is dict else {}
        kinds = [str(k) for k in told["kinds"]] if type(told.get("kinds")) is list else []
        found = (getattr(builtins, kind, None) for kind in kinds)
        bases = [k for k in found if isinstance(k, type) and issubclass(k, BaseException)]
        if not bases or not issubclass(bases[0], Exception):  # SystemExit and the like end it
            self._end(of_exception(told))
        made = next(filter(None, (_made(kinds[0], base, told) for base in bases)), None)
        return made or self._end(of_exception(told))


def _made(name: str, base: type, told: dict[str, Any]) -> Exception | None:
    try:
        made: ToldError = type(name, (ToldError, base), {})(str(told.get("text", "")))
    except (TypeError, ValueError):  # such as UnicodeDecodeError, made from five arguments
        return None
    made.told = told
    return made
