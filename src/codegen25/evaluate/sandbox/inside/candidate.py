"""The untrusted side of a strict verdict: a fork that runs the source and answers calls.

Whatever this process says is taken as the candidate's own words. It never sees the test.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from types import ModuleType
from typing import Any

from .frames import Channel
from .values import OpaqueError, mutable, pack, unpack

NAME, FILE = "candidate", "<candidate>"
SEED = 0
"""`random` starts from here on both sides, so a verdict can be had again."""


def settle(folder: str) -> None:
    """The environment that every sample sees."""
    os.environ.clear()
    os.environ.update(TMPDIR=folder, HOME=folder, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    warnings.simplefilter("ignore")
    sys.argv = [NAME]


def seed(*texts: str) -> None:
    """Let `random` begin anew if any of these texts may use it."""
    if not texts or any("random" in text for text in texts):
        import random  # where the worker imports it: see start.py

        random.seed(SEED)


def module() -> dict[str, Any]:
    """A fresh namespace that is a module, as dataclasses and pickle want it."""
    made = ModuleType(NAME)
    sys.modules[NAME] = made
    return made.__dict__


def serve(descriptor: int, source: str, entry_point: str) -> None:
    """Run `source`, then answer calls of `entry_point` until the other side hangs up."""
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        code = compile(source, FILE, "exec", dont_inherit=True)
    except Exception as error:
        channel.send({"raised": {**raised(error), "syntax": True}})
        return
    try:
        names = module()
        exec(code, names)
        function = names[entry_point]
    except KeyError:
        channel.send({"raised": raised(NameError(f"name {entry_point!r} is not defined"))})
        return
    except BaseException as error:
        channel.send({"raised": raised(error)})
        return
    channel.send({"ready": True})
    while True:
        asked = channel.receive()
        channel.send({"call": asked["call"], **_answer(function, asked)})


def _answer(function: Any, asked: dict[str, Any]) -> dict[str, Any]:
    arguments = [unpack(each) for each in asked["args"]]
    try:
        value = function(*arguments, **{k: unpack(v) for k, v in asked["kwargs"].items()})
        reply = {"value": pack(value)}
    except OpaqueError as error:
        return {"opaque": str(error)}
    except BaseException as error:
        reply = {"raised": raised(error)}
    if any(map(mutable, arguments)):
        try:
            after = [pack(each) for each in arguments]
        except OpaqueError:  # it put strange things there: to the test they look untouched
            return reply
        if after != asked["args"]:
            reply["args"] = after
    return reply


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as names and text, none of it to be believed."""
    kinds = [str(kind.__name__)[:80] for kind in type(error).__mro__][:20]
    try:
        text = str(error)[:300]
    except BaseException:
        text = "<its text cannot be made>"
    told: dict[str, Any] = {"kinds": kinds, "text": text}
    if isinstance(error, ModuleNotFoundError) and isinstance(error.name, str):
        told["module"] = error.name[:100]
    if isinstance(error, OSError) and type(error.errno) is int:
        told["errno"] = error.errno
    if isinstance(error, SystemExit):
        told["code"] = repr(error.code)[:80] if type(error.code) in (int, type(None)) else "?"
    return told
