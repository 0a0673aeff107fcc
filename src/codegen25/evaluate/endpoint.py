"""Samples from any server that speaks OpenAI's API.

By `/v1/completions`, infilling by its `suffix`; or by `/v1/chat/completions`, as one asks.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from codegen25.errors import UserError
from codegen25.evaluate import chat
from codegen25.evaluate.generate import Settings, Wanted, shown
from codegen25.evaluate.samples import Sample
from codegen25.evaluate.truncate import STOP_WORDS

TRIES = 5
TIMEOUT = 300.0
AT_ONCE = 8
MOST_STOPS = 4
"""What OpenAI's servers take."""


class Endpoint:
    """A server at `url`, with or without its /v1. Several requests are under way at once.

    Each sample is a request of its own with a seed of its own, so that it depends neither on what
    was asked before nor on where a run was stopped; the server must honour seeds for the same.
    With `as_chat` a task is asked as a message, and an answer's code block is its program.
    """

    def __init__(
        self, url: str, model: str | None, settings: Settings, workers: int = 0,
        tries: int = TRIES, as_chat: bool = False,
    ) -> None:  # fmt: skip
        if not url.startswith(("http://", "https://")):
            raise UserError(f"--endpoint {url}: it begins with http:// or https://")
        base = url.rstrip("/").removesuffix("/completions").removesuffix("/chat")
        self.url, self.as_chat = base.removesuffix("/v1") + "/v1", as_chat
        self.settings, self.workers, self.tries = settings, workers or AT_ONCE, tries
        self.model = model or self._first_model(self._ask("/models", None))

    @property
    def conditions(self) -> dict[str, object]:
        """See `Generator`."""
        return {
            "model": self.model,
            "endpoint": self.url,
            **({"chat": True} if self.as_chat else {}),
        }

    def generate(self, wanted: Sequence[Wanted]) -> Iterator[Sample]:
        """See `Generator`."""
        waiting = list(reversed(wanted))
        pending: set[Future[Sample]] = set()
        pool = ThreadPoolExecutor(self.workers)
        try:
            while waiting or pending:
                while waiting and len(pending) < 2 * self.workers:
                    pending.add(pool.submit(self._sample, waiting.pop()))
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def complete(
        self, prompt: str, suffix: str | None = None, *, temperature: float, seed: int,
        stop: Sequence[str] = (), max_tokens: int | None = None,
    ) -> tuple[str, str, int]:  # fmt: skip
        """One answer: its text, "end" or "length", and its tokens where the server says them."""
        body: dict[str, Any] = {
            "prompt": prompt, **self._drawn(temperature, seed, max_tokens),
        }  # fmt: skip
        if suffix is not None:  # an empty one asks for an infill too
            body["suffix"] = suffix
        if stop:
            body["stop"] = list(stop[:MOST_STOPS])
        return self._read(self._ask("/completions", body), lambda choice: choice["text"])

    def converse(self, message: str, *, temperature: float, seed: int) -> tuple[str, str, int]:
        """The answer to a message, as `complete` has it."""
        body = {
            "messages": [{"role": "user", "content": message}],
            **self._drawn(temperature, seed, None),
        }
        answer = self._ask("/chat/completions", body)
        return self._read(answer, lambda choice: choice["message"].get("content") or "")

    def _drawn(self, temperature: float, seed: int, max_tokens: int | None) -> dict[str, Any]:
        return {
            "model": self.model, "n": 1, "seed": seed,
            "max_tokens": max_tokens or self.settings.max_tokens,
            "temperature": temperature, "top_p": self.settings.top_p,
        }  # fmt: skip

    def _read(self, answer: Any, of: Callable[[Any], Any]) -> tuple[str, str, int]:
        try:
            choice = answer["choices"][0]
            text, reason = of(choice), choice.get("finish_reason")
            if not isinstance(text, str):
                raise TypeError("its text is no text")
            tokens = int((answer.get("usage") or {}).get("completion_tokens") or 0)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{self.url}: answers no OpenAI completion ({error!r})") from error
        return text, "length" if reason == "length" else "end", tokens

    def _sample(self, wanted: Wanted) -> Sample:
        task, settings = wanted.task, self.settings
        if self.as_chat:
            return self._conversed(wanted)
        words: tuple[str, ...] = ()
        if settings.truncation == "stop-words" and not task.infill and not settings.to_the_end:
            words = task.stop_words or STOP_WORDS
        text, reason, tokens = self.complete(
            shown(task, settings),
            task.suffix if task.infill else None,
            temperature=wanted.temperature,
            seed=wanted.seed(settings.seed),
            stop=words,
        )
        return wanted.answered(text, reason, tokens, settings)

    def _conversed(self, wanted: Wanted) -> Sample:
        task = wanted.task
        seed = wanted.seed(self.settings.seed)
        text, reason, tokens = self.converse(
            chat.question(task), temperature=wanted.temperature, seed=seed
        )
        source = chat.program(text, task)
        place = task.task_id, wanted.sample, wanted.temperature
        return Sample(*place, text, source, reason, tokens, whole=True)

    def _first_model(self, listed: Any) -> str:
        try:
            return str(listed["data"][0]["id"])
        except (LookupError, TypeError) as error:
            raise UserError(f"{self.url}: lists no models; name one with --model") from error

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """One request; a server that is busy or fails is asked again, later and later."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        said = ""
        for attempt in range(self.tries if body is not None else 1):
            if attempt:
                time.sleep(0.25 * 4**attempt / 4)
            request = urllib.request.Request(self.url + path, data, headers)
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.read(500).decode('utf-8', 'replace')}"
                if error.code not in (408, 409, 429) and error.code < 500:
                    break
            except (OSError, ValueError) as error:
                said = str(getattr(error, "reason", error))
        first = body is None or self.tries == 1
        hint = "is a server running there?" if first else "what was done so far is kept"
        raise UserError(f"{self.url}{path}: no answer ({said.strip()}); {hint}")
