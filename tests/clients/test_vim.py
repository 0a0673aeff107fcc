"""Debian's Vim with ggml-org's llama.vim as it is, set up by the README's lines, in a terminal:
type, see ghost text, press Tab.

The plugin is not ours to ship: it is looked for at $CODEGEN25_LLAMA_VIM, then where Vim loads it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from codegen25.sample.request import Completion
from serving import Running

README = (Path(__file__).parents[2] / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8025"


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
ESC, SHIFT_TAB = "\x1b", "\x1b[Z"
HARNESS = "set noswapfile ttimeout ttimeoutlen=10 viminfo= columns=100 lines=30"
"""No files are left behind, and Esc is Esc at once."""
OLDER = "let g:llama_config.endpoint = g:llama_config.endpoint_fim"
"""Versions of the plugin before December 2025 know the address by another name."""


def set_up(home: Path, url: str) -> None:
    """Do what the README says, with the plugin at hand for a clone, and the server's `url`."""
    [lines] = re.findall(r"```vim\n(.*?)```", README, re.DOTALL)
    [clone] = re.findall(r"git clone \S+/llama\.vim ~/(\S+)", README)
    assert ADDRESS in lines
    found = plugin()
    assert found is not None
    (home / clone).parent.mkdir(parents=True)
    (home / clone).symlink_to(found)
    knows = "endpoint_fim" in (found / "autoload/llama.vim").read_text()
    (home / ".vimrc").write_text(lines.replace(ADDRESS, url) + ("" if knows else OLDER))


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
    set_up(tmp_path, server.url)
    terminal = Terminal(["vim", "--cmd", HARNESS, file], tmp_path)
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


def written(vim: Terminal, file: Path) -> str:
    """Save and leave; what the file holds."""
    vim.type(ESC)
    time.sleep(0.1)  # or Esc and what follows are taken for one key
    vim.type(":wq\r")
    vim.ended()
    return file.read_text()


def test_tab_inserts_what_the_server_gave(
    vim: Terminal, given: list[Completion], file: Path, server: Running
) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type("\t")
    assert written(vim, file) == TEXT + "." + text.rstrip("\n") + "\n"
    assert server.idle()


def test_what_is_suggested_can_be_typed(vim: Terminal, given: list[Completion], file: Path) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type(text[:3])
    vim.until(lambda: vim.shows(text[:3]))
    time.sleep(0.5)  # the rest stays where it is drawn: there is nothing to see
    vim.type("\t")
    assert written(vim, file) == TEXT + "." + text.rstrip("\n") + "\n"


def test_shift_tab_accepts_a_line_and_without_a_suggestion_tab_is_a_tab(
    vim: Terminal, given: list[Completion], file: Path
) -> None:
    vim.type("GA.")
    text = suggestion(vim, given)
    vim.type(SHIFT_TAB)
    vim.type(ESC + "ggO")
    vim.type("\t#")
    found = written(vim, file)
    assert found.startswith("\t#") and text.split("\n")[0] in found
    assert TEXT + "." + text.split("\n")[0] in found
