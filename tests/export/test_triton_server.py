"""What `serve --triton` checks before a server starts; the real one is in tests/clients."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.serve import triton, triton_environment
from codegen25.serve.triton import Ports, Server
from codegen25.serve.triton_environment import Environment


def test_ports_that_are_none_or_taken_are_refused() -> None:
    for ports in (Ports(1, 1, 2), Ports(0, 1, 2), Ports(1, 2, 65536)):
        with pytest.raises(UserError, match="three different"):
            ports.require_free()
    with socket.socket() as taken:
        taken.bind((triton.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} "):
            Ports(port, 1, 2).require_free()
    assert Ports.parse("1, 2,3") == Ports(1, 2, 3)
    for wrong in ("1,2", "1,2,x", "", "1,2,-3"):
        with pytest.raises(UserError, match="three numbers"):
            Ports.parse(wrong)
    assert Ports(1, 2, 3).lines()[0].endswith(":1/v2/models/codegen25/generate")


def test_a_python_without_the_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not run"):
        Environment.of(tmp_path / "none")
    python = fake(tmp_path, numpy=2)
    with pytest.raises(UserError, match="needs numpy 1, found 2"):
        Environment.of(python)
    with pytest.raises(UserError, match="no server for it"):
        Environment.of(fake(tmp_path, numpy=1))
    server = tmp_path / "site/pytriton/tritonserver"
    for file in ("bin/tritonserver", "python_backend_stubs/3.11/triton_python_backend_stub"):
        (server / file).parent.mkdir(parents=True)
        (server / file).touch()
    with pytest.raises(UserError, match="no shared libpython"):
        Environment.of(python := fake(tmp_path, numpy=1))
    (tmp_path / "libpython3.11.so").touch()
    found = Environment.of(python)
    variables = found.variables()
    assert variables["PATH"].split(":")[0] == str(tmp_path)
    assert variables["LD_LIBRARY_PATH"] == f"{tmp_path}:{tmp_path}/site/nvidia_pytriton.libs"


def fake(folder: Path, numpy: int) -> Path:
    """A Python that says this of itself."""
    facts = {"site": str(folder / "site"), "libdir": str(folder), "numpy": numpy,
             "library": "libpython3.11.so", "version": "3.11"}  # fmt: skip
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(facts)}'\n")
    python.chmod(0o755)
    return python


def test_the_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.delenv(triton_environment.PYTHON_VARIABLE, raising=False)
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    monkeypatch.setattr(triton_environment, "_make", made.append)
    monkeypatch.setattr(triton_environment, "_require_platform", lambda: None)
    monkeypatch.setattr(Environment, "of", classmethod(lambda cls, python: python))
    first, second = Environment.ready(), Environment.ready()
    assert first == second == made[0] / "bin/python" and len(made) == 1
    assert made[0].is_relative_to(tmp_path)
    monkeypatch.setattr(triton_environment, "PACKAGES", ("other",))
    Environment.ready()
    assert len(made) == 2


def test_what_pip_says_reaches_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "no-venv"
    python.write_text("#!/bin/sh\necho trace >&2\necho 'no module venv' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UserError, match="lacks a virtual environment: no module venv"):
        triton_environment._make(tmp_path / "venv")
    assert "1/3 a virtual environment" in capsys.readouterr().err


SERVER = """#!/bin/sh
trap 'exit 3' TERM
echo "$@" > {seen}
i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
"""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A server that only waits for its end."""
    server = tmp_path / "site/pytriton/tritonserver/bin/tritonserver"
    server.parent.mkdir(parents=True)
    server.write_text(SERVER.format(seen=tmp_path / "seen"))
    server.chmod(0o755)
    return Environment(tmp_path / "python", tmp_path / "site", tmp_path, "3.11")


def test_signals_are_passed_on_and_nothing_is_left(
    environment: Environment, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "_is_ready", lambda self: (tmp_path / "seen").exists())
    with Server(environment, model_dir, Ports(1, 2, 3)) as server, server.signals():
        assert server.await_ready()
        asked = (tmp_path / "seen").read_text()
        for name in ("http", "grpc", "metrics"):
            assert f"--{name}-address=127.0.0.1" in asked
        room = server._room
        region = Path("/dev/shm") / f"{room.name}-x"
        region.touch()
        assert (room / "repository/codegen25/1/model.py").is_file()
        os.kill(os.getpid(), 15)
        assert server.wait() == 3 and server.stopping == 1
    assert not room.exists() and not region.exists()


def test_a_server_that_ends_early_is_said(
    environment: Environment, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.binary.write_text("#!/bin/sh\nexit 7\n")
    monkeypatch.setattr(Server, "_is_ready", lambda self: False)
    with (
        pytest.raises(UserError, match="ended with code 7"),
        Server(environment, model_dir, Ports(1, 2, 3)) as server,
    ):
        server.await_ready()


def test_a_second_signal_kills(
    environment: Environment, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.binary.write_text(
        SERVER.format(seen=tmp_path / "seen").replace("'exit 3' TERM", "'' TERM")
    )
    monkeypatch.setattr(Server, "_is_ready", lambda self: (tmp_path / "seen").exists())
    with Server(environment, model_dir, Ports(1, 2, 3)) as server, server.signals():
        assert server.await_ready()
        os.kill(os.getpid(), 2)
        os.kill(os.getpid(), 2)
        assert server.wait() == 128 + 9
