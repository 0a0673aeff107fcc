"""Tasks that are at hand everywhere, and a server that answers in OpenAI's form by our engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling

NAMES = ("one", "two", "three", "four", "five", "six")


def whole_rows(count: int = 6) -> list[dict[str, Any]]:
    """HumanEval-like rows: a function that returns a number."""
    return [
        {
            "task_id": f"HumanEval/{i}",
            "prompt": f'def {NAMES[i]}():\n    """The number {NAMES[i]}."""\n',
            "canonical_solution": f"    return {i + 1}\n",
            "test": f"def check(candidate):\n    assert candidate() == {i + 1}\n",
            "entry_point": NAMES[i],
        }
        for i in range(count)
    ]


def infill_rows(count: int = 3) -> list[dict[str, Any]]:
    """HumanEval-Infill-like rows: the line that returns."""
    return [
        row
        | {
            "task_id": f"SingleLineInfilling/{row['task_id']}/L0",
            "prompt": f"{row['prompt']}    x = {i + 1}\n",
            "canonical_solution": "    y = x\n",
            "suffix": "    return y\n",
        }
        for i, row in enumerate(whole_rows(count))
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A .jsonl of rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def records(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]


Answered = tuple[int, dict[str, Any]]


@contextmanager
def answering(
    answer: Callable[[dict[str, Any], int], Answered],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on a free port, its address, and the requests that it got, with their `path`.

    `answer` gets a body and how many came before it, and says status and content.
    """
    asked: list[dict[str, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked.append({"path": self.path, **body})
                self._answer(*answer(body, len(asked) - 1))

        def _answer(self, code: int, content: dict[str, Any]) -> None:
            raw = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}", asked
    finally:
        served.shutdown()
        served.server_close()
        thread.join()


@contextmanager
def server(engine: Engine, busy: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that completes by an engine, as `answering`. It is busy for the first requests."""

    def answer(body: dict[str, Any], before: int) -> Answered:
        if before < busy:
            return 503, {"error": {"message": "busy"}}
        if body["max_tokens"] > engine.context:
            return 400, {"error": {"message": "max_tokens is too large"}}
        return 200, complete(engine, body)

    with answering(answer) as found:
        yield found


def complete(engine: Engine, body: dict[str, Any]) -> dict[str, Any]:
    """A completion in OpenAI's form."""
    layout = None if "suffix" in body else "causal"
    prompt = engine.prompt(
        body["prompt"], body.get("suffix", ""), max_tokens=body["max_tokens"], layout=layout
    )
    sampling = Sampling(body["temperature"], body["top_p"], body["seed"])
    answers = engine.answers(prompt, body["max_tokens"], sampling, body["n"])
    choices = [
        {
            "index": i,
            "text": each.text,
            "finish_reason": "stop" if each.stop_reason == "end" else "length",
        }
        for i, each in enumerate(answers)
    ]
    tokens = sum(each.tokens for each in answers)
    return {"object": "text_completion", "choices": choices, "usage": {"completion_tokens": tokens}}
