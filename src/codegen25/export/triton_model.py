"""codegen25 behind NVIDIA Triton's python backend; `codegen25 export triton` copies this file.

Triton hands requests over as they come and one engine answers all of them: its loop, in a thread
of its own, computes the next tokens of every answer in one pass. Another thread carries the text
out and asks Triton which clients went away: the loop itself never waits for Triton.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from codegen25.errors import UserError
from codegen25.export.triton_fields import INPUTS, merged, request_of
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.request import BusyError, Completion, Handle, Piece
from codegen25.traced import traced

POLL = 0.02
"""Seconds between two looks at who went away."""


class TritonPythonModel:
    """Triton's interface: `initialize`, `execute` and `finalize` are called by its stub."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model that stands beside this file."""
        given = json.loads(args["model_config"])["parameters"]
        chosen = {name: value["string_value"] for name, value in given.items()}
        settings = Settings(
            "cpu" if args["model_instance_kind"] == "CPU" else "auto",
            chosen["weights"], int(chosen["threads"]), int(chosen["cache_mb"]),
        )  # fmt: skip
        folder = Path(args["model_repository"], args["model_version"], "checkpoint")
        self.engine = Engine.load(folder, settings)
        self.engine.start()
        self.courier = Courier(Counters(args["model_name"]))
        self.courier.start()

    def execute(self, requests: list[Any]) -> None:
        """Hand requests to the engine; the answers come later, by their response senders."""
        for request in requests:
            reply = Reply(request.get_response_sender(), self.courier.letters)
            self.courier.open.add(reply)
            try:
                values = {name.name: name.read(tensor.as_numpy()) for name in INPUTS
                          if (tensor := triton.get_input_tensor_by_name(request, name.name))
                          is not None}  # fmt: skip
                values = merged(values, json.loads(request.parameters()))
                reply.streamed = values.get("stream", False)
                reply.handle = self.engine.submit(request_of(values, self.engine), reply.piece)
                reply.handle.then(reply.ended)
            except Exception as error:
                self.courier.letters.put(Letter(reply, error=error))

    def finalize(self) -> None:
        """Triton unloads the model, when nothing is under way."""
        self.engine.close()
        self.courier.letters.put(None)
        self.courier.join()


@dataclass(eq=False)
class Reply:
    """One client's answer. The engine's loop calls it and is back at once."""

    sender: Any
    letters: queue.SimpleQueue[Letter | None]
    streamed: bool = False
    handle: Handle | None = None
    shown: int = field(default=0, init=False)

    def piece(self, piece: Piece) -> None:
        """More of the text is final."""
        if self.streamed and piece.completion is None:
            self.shown += len(piece.text)
            self.letters.put(Letter(self, piece.text))

    def ended(self, handle: Handle) -> None:
        """The answer is complete, or will never be."""
        done = handle.completion
        text = done.text[self.shown :] if done else ""
        self.letters.put(Letter(self, text, done, handle.error))


@dataclass(frozen=True)
class Letter:
    """One response; with a completion or an error it is the last."""

    reply: Reply
    text: str = ""
    completion: Completion | None = None
    error: Exception | None = None

    @property
    def last(self) -> bool:
        return self.completion is not None or self.error is not None

    def after(self, earlier: Letter | None) -> Letter:
        """Both in one, where the engine is faster than Triton takes letters."""
        return replace(self, text=earlier.text + self.text) if earlier else self

    def response(self) -> Any:
        """As Triton wants it."""
        done = self.completion
        if self.error is not None:
            return triton.InferenceResponse(error=_said(self.error))
        if done is not None and done.stop_reason == "cancelled":
            error = triton.TritonError("the client went away", triton.TritonError.CANCELLED)
            return triton.InferenceResponse(error=error)
        tensors = [_text("text_output", self.text)]
        if done is not None:
            tokens = triton.Tensor("tokens", np.array([done.tokens], np.int32))
            tensors += [_text("stop_reason", done.stop_reason), tokens]
        return triton.InferenceResponse(tensors)


class Counters:
    """Answers by how they ended, and tokens: in the server's metrics."""

    REASONS = ("end", "stop", "length", "cancelled", "error")

    def __init__(self, model: str) -> None:
        family, counter = triton.MetricFamily, triton.MetricFamily.COUNTER
        ends = family("codegen25_answers_total", "Answers by how they ended", counter)
        tokens = family("codegen25_tokens_total", "Tokens generated", counter)
        self._families = ends, tokens  # which live as long as somebody holds them
        self._ends = {reason: ends.Metric(labels={"model": model, "reason": reason})
                      for reason in self.REASONS}  # fmt: skip
        self._tokens = tokens.Metric(labels={"model": model})

    def note(self, last: Letter) -> None:
        """Count an answer by its last letter."""
        done = last.completion
        self._ends[done.stop_reason if done else "error"].increment(1)
        self._tokens.increment(done.tokens if done else 0)


class Courier(threading.Thread):
    """Sends responses, and cancels the requests of clients that went away."""

    def __init__(self, counters: Counters) -> None:
        super().__init__(name="courier", daemon=True)
        self.counters = counters
        self.letters: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self.open: set[Reply] = set()

    def run(self) -> None:
        """Until it is given None."""
        due, waiting = time.monotonic(), dict[Reply, Letter]()
        while True:
            try:
                letter = self.letters.get(timeout=0 if waiting else POLL)
                if letter is None:
                    break
                waiting[letter.reply] = letter.after(waiting.get(letter.reply))
            except queue.Empty:
                self._send_all(waiting)
            if time.monotonic() >= due:
                self._look()
                due = time.monotonic() + POLL
        self._send_all(waiting)

    def _send_all(self, waiting: dict[Reply, Letter]) -> None:
        for letter in waiting.values():
            self._send(letter)
        waiting.clear()

    def _send(self, letter: Letter) -> None:
        reply = letter.reply
        try:
            if letter.last:
                self.open.discard(reply)
                self.counters.note(letter)
            flags = triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL if letter.last else 0
            reply.sender.send(letter.response(), flags)
        except Exception as error:
            triton.Logger.log_error(f"a response could not be sent: {traced(error)}")
            if reply.handle is not None:
                reply.handle.cancel()

    def _look(self) -> None:
        for reply in tuple(self.open):
            if reply.handle is not None and reply.sender.is_cancelled():
                reply.handle.cancel()


def _text(name: str, text: str) -> Any:
    return triton.Tensor(name, np.array([text.encode()], np.object_))


def _said(error: Exception) -> Any:
    """An error in one line; what is not the client's fault goes to the log and names no details."""
    codes = triton.TritonError
    if isinstance(error, BusyError):
        return codes(str(error), codes.UNAVAILABLE)
    if isinstance(error, UserError):
        return codes(" ".join(str(error).split()), codes.INVALID_ARG)
    triton.Logger.log_error(f"internal error: {traced(error)}")
    return codes("internal error; the server's log says where", codes.INTERNAL)
