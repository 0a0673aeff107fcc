"""Debian's Vim with ggml-org's llama.vim as it is, in a terminal: type, see ghost text, press Tab.

The plugin is not ours to ship: it is looked for at $CODEGEN25_LLAMA_VIM, then where Vim loads it.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codegen25.sample.request import Completion
from serving import Running


def plugin() -> Path | None:
    """The folder of llama.vim, if there is one."""
    named = os.environ.get("CODEGEN25_LLAMA_VIM")
    found = [Path(named)] if named else sorted(Path.home().glob(".vim/pack/*/start/llama.vim"))
    return next((each for each in found if (each / "autoload/llama.vim").exists()), None)


def able() -> bool:
    """Whether this Vim can show ghost text and run jobs."""
    if shutil.which("vim") is None or shutil.which("curl") is None:
        return False
    said = subprocess.run(["vim", "--version"], capture_output=True, text=True, check=False).stdout
    return all(f"+{feature}" in said for feature in ("job", "channel", "textprop", "timers"))


pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not able(), reason="no curl, or no Vim with +job and +textprop (vim-nox)"),
    pytest.mark.skipif(
        plugin() is None,
        reason="llama.vim is neither at $CODEGEN25_LLAMA_VIM nor in ~/.vim/pack; git clone "
        "https://github.com/ggml-org/llama.vim ~/.vim/pack/ggml/start/llama.vim",
    ),
]
TEXT = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items"""
# Older versions of the plugin know the address as `endpoint`. `ttimeout` lets Esc be Esc at once.
VIMRC = """
set nocompatible noswapfile nomore shortmess+=I ttimeout ttimeoutlen=10 encoding=utf-8
set viminfo= columns=100 lines=30
let g:llama_config = {'endpoint_fim': 'URL', 'endpoint': 'URL', 'show_info': 0}
set rtp^=PLUGIN
"""
ESC, SHIFT_TAB = "\x1b", "\x1b[Z"


class Terminal:
    """Vim with a file, in a terminal of its own."""

    def __init__(self, vimrc: Path, file: Path) -> None:
        self.seen = ""
        self._host, terminal = pty.openpty()
        home = {"HOME": str(vimrc.parent), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            ["vim", "-u", vimrc, file], stdin=terminal, stdout=terminal, stderr=terminal,
            env=os.environ | home, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)

    def type(self, keys: str) -> None:
        """Press keys; what was on the screen before is forgotten."""
        self.seen = ""
        os.write(self._host, keys.encode())

    def until(self, there: Callable[[], bool], seconds: float = 30) -> None:
        """Read the screen until something holds."""
        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, self.seen[-3000:]
            if select.select([self._host], [], [], 0.05)[0]:
                self.seen += os.read(self._host, 65536).decode(errors="replace")

    def shows(self, text: str) -> bool:
        """Whether a text was drawn since the last keys."""
        return text in re.sub(r"\x1b(\[[0-9;?>]*[A-Za-z]|[()][A-Z0-9]|[=>])", "", self.seen)

    def write(self, file: Path) -> str:
        """Save and leave; what the file holds."""
        self.type(ESC)
        time.sleep(0.1)  # or Esc and what follows are taken for one key
        self.type(":wq\r")
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self._host], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self._host, 65536).decode(errors="replace")
                except OSError:  # the terminal's other end is closed
                    break
        assert self.process.wait(10) == 0, self.seen[-3000:]
        return file.read_text()

    def close(self) -> None:
        """End Vim if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._host)


@pytest.fixture
def given(server: Running, monkeypatch: pytest.MonkeyPatch) -> list[Completion]:
    """What the server answers from now on, in order."""
    compute, found = server.service.compute, []

    async def recorded(*arguments: Any, **named: Any) -> list[Completion]:
        completions = await compute(*arguments, **named)
        found.extend(completions)
        return completions

    monkeypatch.setattr(server.service, "compute", recorded)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "stack.py"
    file.write_text(TEXT + "\n")
    return file


@pytest.fixture
def vim(server: Running, tmp_path: Path, file: Path) -> Iterator[Terminal]:
    vimrc = tmp_path / "vimrc"
    vimrc.write_text(VIMRC.replace("URL", f"{server.url}/infill").replace("PLUGIN", str(plugin())))
    terminal = Terminal(vimrc, file)
    try:
        terminal.until(lambda: terminal.shows("class Stack") or terminal.shows("Press ENTER"))
        if terminal.shows("Press ENTER"):  # the plugin warns of Vim 9.0, and works there
            terminal.type("\r")
            terminal.until(lambda: terminal.shows("class Stack"))
        yield terminal
    finally:
        terminal.close()


def suggestion(vim: Terminal, given: list[Completion]) -> str:
    """The first suggestion, once it is drawn."""
    vim.until(lambda: bool(given))
    text = given[0].text
    assert text.strip(), given
    vim.until(lambda: vim.shows(text.split("\n")[0]))
    return text


def test_tab_inserts_what_the_server_gave(
    vim: Terminal, given: list[Completion], file: Path, server: Running
) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type("\t")
    assert vim.write(file) == TEXT + "." + text.rstrip("\n") + "\n"
    assert server.idle()


def test_what_is_suggested_can_be_typed(vim: Terminal, given: list[Completion], file: Path) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type(text[:3])
    vim.until(lambda: vim.shows(text[:3]))
    time.sleep(0.5)  # the rest stays where it is drawn: there is nothing to see
    vim.type("\t")
    assert vim.write(file) == TEXT + "." + text.rstrip("\n") + "\n"


def test_shift_tab_accepts_a_line_and_without_a_suggestion_tab_is_a_tab(
    vim: Terminal, given: list[Completion], file: Path
) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type(SHIFT_TAB)
    vim.type(ESC + "ggO")
    vim.type("\t#")
    written = vim.write(file)
    assert written.startswith("\t#") and text.split("\n")[0] in written
    assert TEXT + "." + text.split("\n")[0] in written
