"""One peer as a process: JSON lines in, JSON lines out. Run by the peers' Python, by itself.

    python serve.py DRIVER.py '{"model": …, "format": …, "threads": 2, "context": …, "made": …}'

A driver is a module with a class `Driver`, made from that object, and its methods

    version()                      {"name", "version", …}
    generate(prompts, new)         ids that follow each prompt, exactly `new`, all prompts at once
    keystroke(prompt, new, keep)   (prompt tokens computed or None, ids that follow the prompt)

Decoding is greedy and never ends by itself. `keep` leading ids of the prompt are those of the last
keystroke's prompt and answer: what of them a driver still holds it need not compute again. None
asks for everything to be computed.

    {"op": "generate", "prompts": [[…], […]], "new": N}         -> {"ms", "tokens": [[…], […]]}
    {"op": "keystroke", "prompt": […], "new": N, "cache": true} -> {"ms", "recomputed", "tokens"}
    {"op": "version"}   -> {"name", "version", "threads", "peak_mb"}
    {"op": "close"}
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO


def shared_prefix(a: list[int], b: list[int]) -> int:
    """How many leading ids two sequences share."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


class Session:
    """Answers a driver's requests, timed."""

    def __init__(self, driver: Any, threads: int) -> None:
        self.driver, self.threads = driver, threads
        self.held: list[int] = []

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request."""
        if asked["op"] == "version":
            return {**self.driver.version(), "threads": self.threads, "peak_mb": peak_megabytes()}
        start = time.perf_counter()
        if asked["op"] == "generate":
            self.held = []
            tokens = self.driver.generate(asked["prompts"], asked["new"])
            return {"ms": 1000 * (time.perf_counter() - start), "tokens": tokens}
        prompt = asked["prompt"]
        keep = min(shared_prefix(prompt, self.held), len(prompt) - 1) if asked["cache"] else None
        recomputed, tokens = self.driver.keystroke(prompt, asked["new"], keep)
        took = 1000 * (time.perf_counter() - start)
        # The last id was drawn, not read: its keys and values are nowhere.
        self.held = prompt + tokens[:-1]
        return {"ms": took, "recomputed": recomputed, "tokens": tokens}


def peak_megabytes() -> int:
    """The most memory that this process held.

    Linux counts what the process that started it held in `ru_maxrss` too, but not in VmHWM.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) // 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def load(path: str, asked: dict[str, Any]) -> Any:
    """The driver in a file."""
    # It reports usage to its makers unasked; OpenVINO and NNCF do without when it is absent.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    spec = importlib.util.spec_from_file_location(f"driver_{Path(path).stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Driver(asked)


def say(out: TextIO, reply: dict[str, Any]) -> None:
    out.write(json.dumps(reply) + "\n")
    out.flush()


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print must not mix with the answers
    asked = json.loads(sys.argv[2])
    try:
        session = Session(load(sys.argv[1], asked), asked["threads"])
        say(out, session.answer({"op": "version"}))
    except ImportError as error:
        say(out, {"error": f"not installed ({error})"})
        return
    except Exception as error:  # whatever a library raises is the peer's reason
        say(out, {"error": describe(error)})
        raise
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "close":
            break
        try:
            say(out, session.answer(request))
        except Exception as error:
            say(out, {"error": describe(error)})


def describe(error: Exception) -> str:
    """An exception on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


if __name__ == "__main__":
    main()
