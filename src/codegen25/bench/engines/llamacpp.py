"""llama.cpp's own server, in this process by xllamacpp, asked over HTTP on the loopback."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import xllamacpp

ALIKE = {
    "temperature": 0, "samplers": ["temperature"], "ignore_eos": True, "return_tokens": True,
    "stream": False,
}  # fmt: skip


class Driver:
    """`model` is a GGUF file; "exact" keeps keys and values in float32, as torch does."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.slots = asked.get("slots", 2)
        params = xllamacpp.CommonParams()
        params.model.path = asked["model"]
        params.n_parallel = self.slots
        params.n_ctx = self.slots * asked["context"]
        params.cpuparams.n_threads = asked["threads"]
        params.cpuparams_batch.n_threads = asked["threads"]
        params.warmup, params.verbosity = False, 0
        params.hostnames = ["127.0.0.1"]
        self.port = params.port = free_port()
        if asked.get("exact"):
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = xllamacpp.Server(params)
        self.pool = ThreadPoolExecutor(self.slots)

    def version(self) -> dict[str, Any]:
        made = f"xllamacpp {version('xllamacpp')}"
        return {"name": "llama.cpp", "version": made, "port": self.port}

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        assert len(prompts) <= self.slots
        asked = [
            {"prompt": prompt, "n_predict": new, "id_slot": slot, "cache_prompt": False}
            for slot, prompt in enumerate(prompts)
        ]
        return [reply["tokens"] for reply in self.pool.map(self.ask, asked)]

    def keystroke(self, prompt: list[int], new: int, keep: int | None) -> tuple[int, list[int]]:
        """The slot finds the shared prefix itself, and says how many ids it computed.

        Not in the first of a row: what an unrelated prompt left in the slot is no help to anybody.
        """
        asked = {"prompt": prompt, "n_predict": new, "id_slot": 0, "cache_prompt": bool(keep)}
        reply = self.ask(asked)
        return reply["timings"]["prompt_n"], reply["tokens"]

    def ask(self, asked: dict[str, Any], path: str = "/completion") -> dict[str, Any]:
        """One request of the server's API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            body = json.dumps({**ALIKE, **asked})
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in reply:
            raise RuntimeError(reply["error"].get("message", reply["error"]))
        made: dict[str, Any] = reply
        return made


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
