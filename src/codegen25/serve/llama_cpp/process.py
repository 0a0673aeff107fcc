"""llama.cpp's server in a process of its own, which ends with ours, however ours ends.

Run as a module it is that process: it reads one line of JSON, starts the server, answers with the
port, and waits for its input to close.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen25.errors import UserError

PACKAGE = "xllamacpp"
BATCH = 256
"""Tokens of a prompt between two looks at whether somebody still waits for it."""
END_SECONDS = 5.0


@dataclass(frozen=True)
class Setup:
    """How llama.cpp computes: `context` tokens in each of `slots`; `exact` keeps keys and values
    in float32, as the weights are."""

    model: str
    context: int
    slots: int
    threads: int
    exact: bool = False


class Process:
    """The server; `start` waits until the model is loaded. For any thread."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.port = setup, 0
        self.key = secrets.token_urlsafe(24)
        """Others on this machine must not read what is asked."""
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> bool:
        """Start the server unless it runs; whether it was started anew."""
        with self._lock:
            if self.alive:
                return False
            self._close()
            self._child = child = _launched()
            told = self._told(child)
            if "port" not in told:
                self._close()
                raise UserError(
                    f"{Path(self.setup.model).name}: llama.cpp can't load it "
                    f"({told.get('error') or 'it ended without a word'})"
                )
            self.port = told["port"]
            return True

    def close(self) -> None:
        """End the server."""
        with self._lock:
            self._close()

    def _told(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(json.dumps({**asdict(self.setup), "key": self.key}) + "\n")
            child.stdin.flush()
            told: dict[str, Any] = json.loads(child.stdout.readline())
        except (OSError, ValueError):
            return {}
        return told

    def _close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _launched() -> subprocess.Popen[str]:
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError(
            "llama.cpp is not installed; install it with: pip install 'codegen25[llama-cpp]'"
        )
    # A session of its own: the keyboard's interrupt is for us, and we end the child.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip


# ------------------------------------------------------------------------------------ the child


def serve(asked: dict[str, Any]) -> Any:
    """llama.cpp's server on a free port of the loopback."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = asked["model"]
    params.n_parallel = asked["slots"]
    params.n_ctx = asked["slots"] * asked["context"]
    params.n_batch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.n_threads_http = asked["slots"] + 2
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [asked["key"]]
    params.ui = params.endpoint_slots = params.warmup = False
    params.cache_ram_mib = 0  # it would keep the texts of one owner for another
    params.verbosity = 0
    if asked["exact"]:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(params)


def main() -> None:
    """Serve until the input closes."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what llama.cpp prints is no answer
    try:
        server = serve(json.loads(sys.stdin.readline()))
        said: dict[str, Any] = {"port": int(server.listening_address.rpartition(":")[2])}
    except Exception as error:
        said = {"error": " ".join(str(error).split()) or type(error).__name__}
    with contextlib.suppress(OSError):
        print(json.dumps(said), file=answer, flush=True)
        if "port" in said:
            sys.stdin.read()
    os._exit(0)  # whatever llama.cpp's threads are at


if __name__ == "__main__":
    main()
