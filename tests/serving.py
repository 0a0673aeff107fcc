"""Servers for tests: uvicorn in a thread, on a free port of loopback."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from codegen25 import instruct
from codegen25.models import resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.serve.app import build
from codegen25.serve.backend import Backend
from codegen25.serve.command import Options, listener, listening
from codegen25.serve.rules import Rules
from codegen25.serve.service import Service

SHIPPED = resolve("default")


@dataclass
class Running:
    """A server that answers at `url`."""

    url: str
    port: int
    service: Service = field(repr=False)

    @property
    def engine(self) -> Engine:
        backend = self.service.default.backend
        assert isinstance(backend, Engine)
        return backend

    def idle(self, seconds: float = 10.0) -> bool:
        """Whether nothing is under way, within some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.engine.requests == (0, 0):
                return True
            time.sleep(0.01)
        return False


def engine(folder: Path = SHIPPED) -> Engine:
    return Engine.load(folder, Settings("cpu", "int8", 1))


def tuned(folder: Path) -> Path:
    """The shipped model, marked as one that was tuned on instructions."""
    folder.mkdir()
    for path in SHIPPED.iterdir():
        (folder / path.name).symlink_to(path)
    config = json.loads((SHIPPED / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "codegen25": instruct.MARK}))
    return folder


@contextlib.contextmanager
def serving(
    models: Mapping[str, Backend] | None = None,
    *,
    keys: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    queue: int = 256,
) -> Iterator[Running]:
    """Serve until the block ends."""
    service = Service(lambda: models or {SHIPPED.name: engine()}, queue)
    service.load()
    app = build(service, Rules.of("127.0.0.1", hosts, keys))
    with listening(Options(port=0)) as bound:
        port = bound.getsockname()[1]
        server = uvicorn.Server(listener(app, grace=2))
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield Running(f"http://127.0.0.1:{port}", port, service)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
