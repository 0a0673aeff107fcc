"""The peers, each a process of a Python of its own; one that fails is a row that says why.

Install them in an environment of their own and name its Python:

    python3 -m venv peers
    peers/bin/pip install torch==2.13.0 transformers xllamacpp safetensors \\
        optimum-intel nncf openvino openvino-genai openvino-tokenizers
    peers/bin/pip install torch==2.13.0 onnxruntime-genai onnx onnxscript onnx-ir
    peers/bin/pip uninstall -y torchvision

torchvision is optimum-intel's wish; where torch is built for the CPU alone, the one that comes is
not, and transformers then imports no model. optimum-intel holds transformers back (at 5.5).
Versions that this was written for: llama.cpp as xllamacpp 2026.10.11549, openvino and
openvino-genai 2026.4.1 with optimum-intel 2.2.0 and nncf 3.4.0, onnxruntime-genai 0.18.0,
transformers 5.5.4 and 5.23.0.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from codegen25.bench.table import Row
from codegen25.errors import UserError

HERE = Path(__file__).parent
START_SECONDS, ANSWER_SECONDS = 900.0, 300.0
"""How long a peer may take to convert and load a model, and to answer."""


@dataclass(frozen=True)
class Peer:
    """A driver beside this file and a number format; llama.cpp's is a kind of `export.gguf`."""

    driver: str
    format: str


PEERS = {
    "llama.cpp Q8_0": Peer("llamacpp.py", "q8_0"),
    "llama.cpp Q4_0": Peer("llamacpp.py", "q4_0"),
    "llama.cpp BF16": Peer("llamacpp.py", "bf16"),
    "llama.cpp F32": Peer("llamacpp.py", "f32"),
    "OpenVINO int8": Peer("ov.py", "int8"),
    "OpenVINO int8 bf16": Peer("ov.py", "int8+bf16"),
    "OpenVINO int4": Peer("ov.py", "int4"),
    "OpenVINO f32": Peer("ov.py", "f32"),
    "OpenVINO GenAI int8": Peer("ovg.py", "int8"),
    "OpenVINO GenAI int8 bf16": Peer("ovg.py", "int8+bf16"),
    "OpenVINO GenAI int4": Peer("ovg.py", "int4"),
    "OpenVINO GenAI f32": Peer("ovg.py", "f32"),
    "onnxruntime-genai int8": Peer("ort.py", "int8"),
    "onnxruntime-genai int4": Peer("ort.py", "int4"),
    "onnxruntime-genai fp32": Peer("ort.py", "fp32"),
    "transformers bf16": Peer("hf.py", "bfloat16"),
    "transformers fp32": Peer("hf.py", "float32"),
}

QUIET = {
    "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
    "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip
"""No peer goes online, nor says more than it must."""


class NotRun(Exception):  # noqa: N818 (a result as much as an error)
    """A peer that is not installed, crashed, or took too long; the message is the reason."""


class Running:
    """A peer that is loaded and answers. `about` is its answer to `version`."""

    def __init__(
        self, python: str, driver: Path, asked: Mapping[str, Any], seconds: float = START_SECONDS
    ) -> None:
        threads = str(asked["threads"])
        environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": threads}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                [python, str(HERE / "serve.py"), str(driver), json.dumps(asked)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
                env=environment, text=True,
            )  # fmt: skip
        except OSError as error:
            raise NotRun(f"{python}: {error.strerror}") from error
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()
        try:
            self.about = self._reply(seconds)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process that computes."""
        return self._process.pid

    def generate(
        self, prompts: Sequence[Sequence[int]], new: int, seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """`ms` and the `tokens` that follow each prompt, all run at once."""
        return self.ask({"op": "generate", "prompts": prompts, "new": new}, seconds)

    def keystroke(
        self, prompt: Sequence[int], new: int, *, cache: bool, seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """`ms`, the prompt tokens `recomputed` and the `tokens` that follow."""
        asked = {"op": "keystroke", "prompt": prompt, "new": new, "cache": cache}
        return self.ask(asked, seconds)

    def version(self) -> dict[str, Any]:
        """Name, version, threads, and `peak_mb`, the most memory that it held so far."""
        return self.ask({"op": "version"}, ANSWER_SECONDS)

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One request's answer. NotRun if the peer says that it failed, dies or is too slow."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise NotRun(self._death()) from error
        return self._reply(seconds)

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _reply(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty as error:
            self._process.kill()
            raise NotRun(f"no answer in {seconds:.0f} s") from error
        if not line:
            raise NotRun(self._death())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise NotRun(reply["error"])
        return reply

    def _death(self) -> str:
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"exited with {status}" + (f": {lines[-1].strip()}" if lines else "")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"op": "close"}) + "\n")
            self._process.stdin.close()
            self._process.wait(timeout=5)
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.wait()
        self._ears.join(timeout=5)
        self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def start(
    name: str, model: Path, work: Path, python: str, *, threads: int = 2, context: int = 2304,
    exact: bool = False, slots: int = 2,
) -> Running:  # fmt: skip
    """Load the model directory in the peer `name`.

    What it is converted to is kept in the folder `work`, one a model. `context` is the most tokens
    a sequence has; `exact` asks llama.cpp for float32 keys and values, `slots` is how many
    sequences it answers at once.
    """
    if name not in PEERS:
        raise UserError(f"peer {name!r} is unknown; there are {', '.join(PEERS)}")
    peer = PEERS[name]
    kind = Path(peer.driver).stem.replace("ovg", "ov")  # both read what optimum converted
    made = work / f"{kind}-{peer.format.partition('+')[0]}"
    asked = {"model": str(model), "format": peer.format, "threads": threads, "context": context,
             "made": str(made), "exact": exact, "slots": slots}  # fmt: skip
    if peer.driver == "llamacpp.py":
        asked["model"] = str(_gguf(model, made.with_suffix(".gguf"), peer.format))
    else:
        asked["model"] = str(_wide(model, work / "wide"))
    return Running(python, HERE / peer.driver, asked)


def _gguf(model: Path, file: Path, kind: str) -> Path:
    from codegen25.export import gguf

    if not file.is_file():
        try:
            gguf.write(model, file, kind)
        except UserError as error:
            raise NotRun(str(error)) from error
    return file


def _wide(model: Path, folder: Path) -> Path:
    from codegen25.export import stored

    try:
        return stored.readable(model, folder, "f32")
    except UserError as error:
        raise NotRun(str(error)) from error


def rows(
    names: Iterable[str], begin: Callable[[str], Running],
    measure: Callable[[Running], Mapping[str, Any]],
) -> list[Row]:  # fmt: skip
    """What `measure` finds of each peer, one after the other, and why one was not run."""
    found: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"engine": name}
        try:
            with begin(name) as peer:
                row |= measure(peer)
        except NotRun as reason:
            row["not run"] = str(reason)
        found.append(row)
    keys = dict.fromkeys(key for row in found for key in row)
    return [{key: row.get(key, "") for key in keys} for row in found]
