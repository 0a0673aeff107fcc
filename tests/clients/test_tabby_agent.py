"""tabby-agent as npm has it, the language server behind Tabby's plugins, against our server.

It is looked for where `npm i tabby-agent@1.5.0` was run: in $CODEGEN25_TABBY_AGENT, or where
`make test-clients` does so.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Running, engine, serving

FOLDER = os.environ.get("CODEGEN25_TABBY_AGENT") or f"{sys.prefix}/tabby-agent"
AGENT = Path(FOLDER) / "node_modules/tabby-agent/dist/cli.js"
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not AGENT.exists(), reason="no tabby-agent; make test-clients installs it by npm"
    ),
]
CONFIG = """
[server]
endpoint = "{url}"
token = "{key}"

[anonymousUsageTracking]
disable = true
"""
URI = "file:///project/stack.py"
TEXT = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.
"""
CURSOR = {"line": 5, "character": 19}
Message = dict[str, Any]


class Agent:
    """The agent, spoken to in JSON-RPC over its standard streams."""

    def __init__(self, home: Path, url: str, key: str = "") -> None:
        config = home / ".tabby-client/agent/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(CONFIG.format(url=url, key=key))
        self._last = 0
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self.process = subprocess.Popen(
            ["node", AGENT, "--lsp", "--stdio"], env=os.environ | {"HOME": str(home)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        length = 0
        for line in self.process.stdout:
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            elif not line.strip():
                self._messages.put(json.loads(self.process.stdout.read(length)))
        self._messages.put(None)

    def tell(self, method: str, params: object, **more: Any) -> None:
        """Send a notification, or with an `id` a request."""
        assert self.process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params, **more}
        raw = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(raw) + raw)
        self.process.stdin.flush()

    def ask(self, method: str, params: object) -> Any:
        """A request's result."""
        self._last += 1
        self.tell(method, params, id=self._last)
        while (message := self._messages.get(timeout=60)) is not None:
            if message.get("id") == self._last and "method" not in message:
                assert "error" not in message, message
                return message["result"]
        raise AssertionError("the agent ended")

    def start(self) -> Message:
        """Begin, and open the document; what the agent can do."""
        able = self.ask("initialize", {
            "processId": os.getpid(), "rootUri": None, "clientInfo": {"name": "test"},
            "capabilities": {"textDocument": {"completion": {}}},
        })  # fmt: skip
        self.tell("initialized", {})
        document = {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return able

    def complete(self) -> list[Message]:
        """What is suggested at the cursor."""
        answer = self.ask("textDocument/completion", {
            "textDocument": {"uri": URI}, "position": CURSOR, "context": {"triggerKind": 1},
        })  # fmt: skip
        return answer["items"] if answer else []

    def end(self) -> int:
        """Shut it down; its exit code."""
        self.ask("shutdown", None)
        self.tell("exit", None)
        return self.process.wait(20)


@pytest.fixture
def agent(server: Running, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path, server.url)
    yield agent
    agent.process.kill()
    agent.process.wait()


def test_a_completion_arrives(agent: Agent, server: Running) -> None:
    assert agent.start()["serverInfo"]["name"] == "tabby-agent"
    [item] = agent.complete()
    assert item["textEdit"]["newText"].startswith("append")
    assert item["textEdit"]["range"] == {"start": CURSOR, "end": CURSOR}
    assert item["data"]["completionId"].startswith("cmpl-")
    assert agent.end() == 0
    assert server.idle()


def test_with_a_key_and_only_with_it(tmp_path: Path) -> None:
    with serving({"m": engine()}, keys=("secret",)) as running:
        for key, found in (("secret", 1), ("wrong", 0)):
            agent = Agent(tmp_path / key, running.url, key)
            try:
                agent.start()
                assert len(agent.complete()) == found
            finally:
                agent.process.kill()
                agent.process.wait()
