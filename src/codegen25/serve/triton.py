"""`codegen25 serve --triton`: NVIDIA's real server, from the package nvidia-pytriton, on loopback.

The server's Python must have numpy 1, against which its stub is compiled, and a shared libpython.
So it gets an environment of its own in the cache folder, made once. The server runs a repository
that `export.triton` writes, with links to the checkpoint and to this package.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from codegen25.errors import UserError
from codegen25.export import triton as export
from codegen25.models import resolve
from codegen25.serve.triton_environment import Environment, say

PATIENCE = 180
"""Seconds until the server is ready; kernels may have to be compiled first."""
HOST = "127.0.0.1"


def run(
    model: str = "default", ports: Ports | None = None, weights: str = "auto", threads: int = 0
) -> int:
    """Serve a model until SIGINT or SIGTERM; the server's exit code.

    The signal is passed on and the server ends what is under way; a second one kills it.
    """
    folder, ports = resolve(model), ports or Ports()
    ports.require_free()
    environment = Environment.ready()
    say(f"starting tritonserver with {folder.name}")
    with Server(environment, folder, ports, weights, threads) as server, server.signals():
        if server.await_ready():
            for line in ports.lines():
                print(line, flush=True)
        return server.wait()


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on the loopback only; Triton's own ports."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @classmethod
    def parse(cls, text: str) -> Ports:
        """Three numbers with commas between them, as the command line has them."""
        parts = text.split(",")
        if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
            raise UserError(f"ports {text!r}: give three numbers, say 8000,8001,8002")
        return cls(*map(int, parts))

    def require_free(self) -> None:
        """Refuse ports that are none, the same twice, or taken."""
        if len(set(astuple(self))) < 3 or not all(0 < port < 65536 for port in astuple(self)):
            raise UserError(f"ports {astuple(self)}: give three different ones below 65536")
        for port in astuple(self):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise UserError(
                        f"port {port} of {HOST} cannot be had ({error.strerror}); give others"
                    ) from error

    def lines(self) -> list[str]:
        """Where to ask."""
        return [
            f"HTTP     http://{HOST}:{self.http}/v2/models/{export.NAME}/generate",
            f"gRPC     {HOST}:{self.grpc}",
            f"metrics  http://{HOST}:{self.metrics}/metrics",
        ]


# -------------------------------------------------------------------------------- environment


class Server:
    """A tritonserver of ours; leaving the block ends it and removes what it left behind."""

    def __init__(
        self, environment: Environment, folder: Path, ports: Ports, weights: str = "auto",
        threads: int = 0,
    ) -> None:  # fmt: skip
        self.environment, self.ports = environment, ports
        self.stopping = 0
        self._room = Path(tempfile.mkdtemp(prefix="codegen25-triton-"))
        self._shared = f"{self._room.name}-"
        """Begins the names of its regions of shared memory."""
        try:
            repository = self._room / "repository"
            export.write(folder, repository, weights=weights, threads=threads, link=True)
            self.process = self._start(repository)
        except BaseException:
            shutil.rmtree(self._room, ignore_errors=True)
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()
            self.process.wait()
            shutil.rmtree(self._room, ignore_errors=True)
            for region in Path("/dev/shm").glob(f"{self._shared}*"):
                region.unlink(missing_ok=True)

    def _start(self, repository: Path) -> subprocess.Popen[bytes]:
        backends, environment = self._room / "backends", self.environment
        (backends / "python").mkdir(parents=True)
        theirs = environment.server / "backends/python"
        for file in (
            theirs / "libtriton_python.so",
            theirs / "triton_python_backend_utils.py",
            environment.stub,
        ):
            (backends / "python" / file.name).symlink_to(file)
        command = [
            str(environment.binary), f"--model-repository={repository}",
            f"--backend-directory={backends}", "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={self._shared}",
            f"--http-address={HOST}", f"--http-port={self.ports.http}",
            f"--grpc-address={HOST}", f"--grpc-port={self.ports.grpc}",
            f"--metrics-address={HOST}", f"--metrics-port={self.ports.metrics}",
            "--allow-gpu-metrics=false", "--log-info=false", "--log-warning=false",
            "--exit-timeout-secs=10",
        ]  # fmt: skip
        # A session of its own: Ctrl-C reaches us alone, and we pass it on once.
        return subprocess.Popen(command, env=environment.variables(), start_new_session=True)

    def await_ready(self) -> bool:
        """Wait until the model answers; False if a signal came first."""
        end = time.monotonic() + PATIENCE
        while not self._is_ready():
            code = self.process.poll()
            if self.stopping:
                return False
            if code is not None:
                raise UserError(
                    f"tritonserver ended with code {code} before it was ready; "
                    "what it said stands above"
                )
            if time.monotonic() > end:
                raise UserError(f"tritonserver was not ready after {PATIENCE} s")
            time.sleep(0.1)
        return True

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.ports.http, timeout=5)
        try:
            connection.request("GET", f"/v2/models/{export.NAME}/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait(self) -> int:
        """Wait for the server's end; its exit code, as a shell counts."""
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Pass SIGINT and SIGTERM on to the server within the block."""

        def on(number: int, frame: FrameType | None) -> None:
            self.stopping += 1
            if self.stopping == 1:
                self.process.terminate()
            else:
                self._kill()

        before: dict[signal.Signals, Any] = {
            number: signal.signal(number, on) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
