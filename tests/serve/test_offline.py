"""Nothing phones home: the commands open sockets on loopback alone, and need no other network.

Run as a script, this file is what the tests start: a command under an audit hook, which sees what
any Python code opens or looks up, and a client that drives such a command.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = {"127.0.0.1", "::1", "localhost", "b'127.0.0.1'"}
NO_ADDRESS = {"socket.__new__", "socket.gethostname", "socket.getservbyname"}
TAKEN = {"socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg"}
"""Events whose first argument is the socket, and the second where."""
ALONE = [["unshare", "-n"], ["unshare", "-rn"]]
"""Without a network, as root and as anybody."""
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1
ASKED = [
    ("/health", None),
    ("/metrics", None),
    ("/openapi.json", None),
    ("/v1/models", None),
    ("/v1/completions", {"prompt": "x = ", "suffix": "y", "max_tokens": 8}),
    ("/infill", {"input_prefix": "x = ", "input_suffix": "y", "n_predict": 4}),
    ("/api/generate", {"model": "default", "prompt": "x = ", "suffix": "y"}),
    ("/v1/engines/copilot-codex/completions", {"prompt": "x = ", "max_tokens": 4}),
    ("/v1/fim/completions", {"prompt": "x = ", "suffix": "y", "max_tokens": 4}),
    ("/v1/completions", {"segments": {"prefix": "x = ", "suffix": "y"}, "language": "python"}),
]

# ------------------------------------------------------------------------------ under an audit hook


def audited(log: str, arguments: Sequence[str]) -> None:
    """The command line, with every address and name that it uses in a file."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event.startswith("socket.") and event not in NO_ADDRESS:
            where = values[1 if event in TAKEN else 0]
            where = where[0] if isinstance(where, tuple) else where
            if where is not None:
                os.write(out, f"{event} {where}\n".encode())

    sys.addaudithook(hook)
    from codegen25 import cli

    sys.argv = ["codegen25", *arguments]
    cli.main()


def command(log: str, *arguments: str) -> list[str]:
    return [sys.executable, __file__, "audited", log, *arguments]


# ------------------------------------------------------------------------------------------ clients


def serve(log: str) -> None:
    """Ask a server in all dialects."""
    order = command(log, "serve", "--port", "0", "--threads", "1")
    with subprocess.Popen(order, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            ready = next(line for line in process.stderr if "ready in" in line)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            for path, body in ASKED:
                sent = None if body is None else json.dumps(body).encode()
                url = ready.split()[-1].rstrip("/") + path
                print(path, opener.open(urllib.request.Request(url, sent), timeout=60).status)
        finally:
            process.send_signal(signal.SIGTERM)
            print("ended", process.wait(30))


def lsp(log: str) -> None:
    """Let a language server complete something."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command(log, "lsp"), **pipes) as process:  # type: ignore[call-overload]
        ask = Editor(process)
        capable = {"textDocument": {"inlineCompletion": {}}, "window": {"workDoneProgress": True}}
        ask("initialize", {
            "capabilities": capable, "processId": None, "rootUri": None,
            "initializationOptions": {"budget_ms": 20_000},
        })  # fmt: skip
        ask.tell("initialized", {})
        ask.until_loaded()
        document = {"uri": "file:///a.py", "languageId": "python", "version": 1}
        text = "def add(a, b):\n    return "
        ask.tell("textDocument/didOpen", {"textDocument": {**document, "text": text}})
        found = ask("textDocument/inlineCompletion", {
            "textDocument": document, "position": {"line": 1, "character": 11},
            "context": {"triggerKind": 1},
        })  # fmt: skip
        print("inserted", repr(found[0]["insertText"]))
        ask("shutdown", None)
        ask.tell("exit", None)
        print("ended", process.wait(30))


class Editor:
    """A language server's client, as little of one as will do."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.writer, self.reader, self.asked = process.stdin, process.stdout, 0

    def __call__(self, method: str, params: object) -> Any:
        """Ask, and wait for the answer."""
        self.asked += 1
        self._write({"id": self.asked, "method": method, "params": params})
        while (message := self._read()).get("id") != self.asked or "method" in message:
            self._serve(message)
        return message["result"]

    def tell(self, method: str, params: object) -> None:
        self._write({"method": method, "params": params})

    def until_loaded(self) -> None:
        """Wait for the end of the progress that is shown."""
        message: dict[str, Any] = {}
        while message.get("params", {}).get("value", {}).get("kind") != "end":
            message = self._read()
            self._serve(message)

    def _serve(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            self._write({"id": message["id"], "result": None})

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.writer.flush()

    def _read(self) -> dict[str, Any]:
        length = 0
        while (line := self.reader.readline().strip()) or not length:
            assert line, "the server ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        found: dict[str, Any] = json.loads(self.reader.read(length))
        return found


def bring_up_loopback() -> None:
    """`ip link set lo up`, which not every machine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(made, GET_FLAGS, request))[1]
        fcntl.ioctl(made, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


# -------------------------------------------------------------------------------------------- tests


def driven(client: str, log: Path, alone: Sequence[str] = ()) -> list[str]:
    """What a client says that drives the command."""
    order = [*alone, sys.executable, __file__, client, str(log), *(["alone"] if alone else [])]
    done = subprocess.run(order, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def assert_answered(client: str, said: list[str]) -> None:
    assert said[-1] == "ended 0"
    if client == "serve":
        assert said[:-1] == [f"{path} 200" for path, _ in ASKED]
    else:
        assert re.fullmatch(r"inserted '.+'", said[0])


@pytest.mark.parametrize("client", ["serve", "lsp"])
def test_no_address_but_loopback_is_used(client: str, tmp_path: Path) -> None:
    if client == "lsp":
        pytest.importorskip("pygls", reason="the language server's own packages are not installed")
    said = driven(client, tmp_path / "log")
    assert_answered(client, said)
    used = (tmp_path / "log").read_text().splitlines()
    assert {line.partition(" ")[2] for line in used} <= HERE, used
    assert any(line == "socket.bind 127.0.0.1" for line in used) == (client == "serve")


def test_the_hook_sees_what_is_used(tmp_path: Path) -> None:
    code = (
        "import contextlib, socket, sys, types; sys.path.insert(0, sys.argv[1])\n"
        "import test_offline\n"
        "def main():\n"
        "    with contextlib.suppress(OSError): socket.create_connection(('192.0.2.1', 9), 0.01)\n"
        "    made = socket.socket(type=socket.SOCK_DGRAM)\n"
        "    with contextlib.suppress(OSError): made.sendto(b'x', ('192.0.2.2', 9))\n"
        "sys.modules['codegen25.cli'] = types.SimpleNamespace(main=main)\n"
        "import codegen25; codegen25.cli = sys.modules['codegen25.cli']\n"
        "test_offline.audited(sys.argv[2], [])\n"
    )
    log = tmp_path / "log"
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(log)], check=True)
    assert log.read_text().splitlines() == [
        "socket.getaddrinfo 192.0.2.1", "socket.connect 192.0.2.1", "socket.sendto 192.0.2.2",
    ]  # fmt: skip


@pytest.mark.parametrize("client", ["serve", "lsp"])
def test_no_network_is_needed(client: str, tmp_path: Path) -> None:
    if client == "lsp":
        pytest.importorskip("pygls", reason="the language server's own packages are not installed")
    said = driven(client, tmp_path / "log", without_network())
    assert said.pop(0) == "['lo']"
    assert_answered(client, said)


def without_network() -> list[str]:
    """What runs a command where there is no network."""
    for each in ALONE:
        try:
            if subprocess.run([*each, "true"], capture_output=True).returncode == 0:
                return each
        except OSError:
            break
    pytest.skip("unshare -n does not work here")


if __name__ == "__main__":
    what, log, *rest = sys.argv[1:]
    if what == "audited":
        audited(log, rest)
    if rest == ["alone"]:
        bring_up_loopback()
        print([name for _, name in socket.if_nameindex()])
    if what in ("serve", "lsp"):
        {"serve": serve, "lsp": lsp}[what](log)
