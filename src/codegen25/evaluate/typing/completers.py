"""Who suggests: a model in this process, or a server that speaks OpenAI's completions."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from codegen25.errors import UserError
from codegen25.evaluate.typing.replay import Ask

SECONDS = 120
"""A server that takes longer has failed."""


@dataclass
class Timed:
    """An `Ask` that notes how long each answer took."""

    ask: Ask
    milliseconds: list[float] = field(default_factory=list)

    def __call__(self, prefix: str, suffix: str) -> str:
        start = time.perf_counter()
        answer = self.ask(prefix, suffix)
        self.milliseconds.append(1000 * (time.perf_counter() - start))
        return answer


def of_model(name: str, max_tokens: int, layout: str | None) -> tuple[Ask, dict[str, str]]:
    """A model's greedy completions, and what it is."""
    import torch

    from codegen25.models import resolve
    from codegen25.sample.engine import Engine

    folder = resolve(name)
    engine = Engine.load(folder)

    def ask(prefix: str, suffix: str) -> str:
        return engine.infill(prefix, suffix, max_tokens=max_tokens, layout=layout).text

    return ask, {
        "model": folder.resolve().name,
        "layout": layout or engine.form.layouts[0].value,
        "threads": str(torch.get_num_threads()),
    }


def of_endpoint(url: str, name: str, max_tokens: int) -> Ask:
    """Greedy completions of a server: `url` ends in /v1, or it is the server's root."""
    base = url.rstrip("/")
    address = f"{base}/completions" if base.endswith("/v1") else f"{base}/v1/completions"
    if not base.startswith(("http://", "https://")):
        raise UserError(f"--endpoint {url}: give an address such as http://127.0.0.1:8000/v1")

    def ask(prefix: str, suffix: str) -> str:
        body = {"model": name, "prompt": prefix, "suffix": suffix, "max_tokens": max_tokens}
        data = json.dumps({**body, "temperature": 0}).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        return _text(urllib.request.Request(address, data, headers), address)

    return ask


def _text(request: urllib.request.Request, address: str) -> str:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            answer = json.loads(reply.read())["choices"][0]["text"]
    except urllib.error.HTTPError as error:
        said = error.read(300).decode("utf-8", "replace")
        raise UserError(f"{address} answered {error.code}: {said}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{address} does not answer ({reason}); is the server running?") from error
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{address} answered something else than a completion") from error
    if not isinstance(answer, str):
        raise UserError(f"{address} answered something else than a completion")
    return answer
