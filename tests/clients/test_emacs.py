"""eglot and our Lisp in a real Emacs, set up by the lines of editors/emacs.md, in a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]


def able() -> bool:
    """Whether there is an Emacs with eglot: from 29 on, or Debian's elpa-eglot."""
    command = ["emacs", "--batch", "--eval", "(require 'eglot)"]
    return (
        shutil.which("emacs") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


pytest.importorskip("pygls", reason="the language server's own packages are not installed")
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not able(), reason="no Emacs with eglot (emacs-nox and elpa-eglot)"),
]
TEXT = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items"""
END, LINE_START, BACKSPACE, SAVE, LEAVE = "\x1b>", "\x01", "\x7f", "\x18\x13", "\x18\x03"
ASK, TOGGLE, COMPLETE = "\x1bxcodegen25-suggest\r", "\x1bxcodegen25-mode\r", "\x1b\t"
HARNESS = """
(setq make-backup-files nil auto-save-default nil native-comp-deferred-compilation nil)
(run-with-timer 0.1 0.1 (lambda ()
  (with-current-buffer (window-buffer)
    (let ((ghost (bound-and-true-p codegen25--ghost)))
      (write-region (json-encode `((mode . ,(if (bound-and-true-p codegen25-mode) 1 0))
                                   (text . ,(or (and ghost (plist-get (overlay-get ghost 'item)
                                                                      :insertText)) ""))))
                    nil "~/state.new" nil 'silent)
      (rename-file "~/state.new" "~/state" t)))))
"""
"""Tells in a file whether the mode is on, and what is suggested."""


class Emacs(Terminal):
    """Emacs with a file whose language server is starting."""

    def __init__(self, home: Path) -> None:
        [lines] = re.findall(
            r"```elisp\n(\(load .*?)```", (ROOT / "editors/emacs.md").read_text(), re.DOTALL
        )
        (home / "codegen25").symlink_to(ROOT)
        (home / ".emacs").write_text(lines)
        (home / ".emacs.d").mkdir()
        (home / ".emacs.d/early-init.el").write_text(HARNESS)
        self.home, self.file = home, home / "stack.py"
        self.file.write_text(TEXT)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kernels = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        super().__init__(
            ["emacs", "-nw", self.file], home,
            PATH=path, CODEGEN25_CACHE=str(home / "cache"), XDG_CACHE_HOME=kernels,
        )  # fmt: skip

    @property
    def state(self) -> dict[str, Any]:
        """What the harness tells."""
        told = self.home / "state"
        return json.loads(told.read_text()) if told.exists() else {"mode": 0, "text": ""}

    def suggestion(self) -> str:
        """What is suggested behind `self.items.`, as soon as that is typed; it is drawn."""
        self.until(lambda: self.shows("class Stack"))
        self.type(END)  # eglot starts the server after a command
        self.until(lambda: bool(self.state["mode"]))
        for _ in range(20):  # the model may be loading
            self.type(".")
            with contextlib.suppress(AssertionError):
                self.until(lambda: bool(self.state["text"]), 3)
                break
            self.type(BACKSPACE)
        text: str = self.state["text"]
        assert text.strip()
        self.until(lambda: self.shows(text.split("\n")[0]))
        return text

    def written(self) -> str:
        """Save and leave; what the file holds."""
        self.type(SAVE)
        self.until(lambda: self.shows("Wrote"))
        self.type(LEAVE)
        self.ended()
        return self.file.read_text()


@pytest.fixture
def emacs(tmp_path: Path) -> Iterator[Emacs]:
    made = Emacs(tmp_path)
    try:
        yield made
    finally:
        made.close()


def events(home: Path) -> list[str]:
    lines = (home / "cache/events.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_tab_accepts_what_is_drawn(emacs: Emacs) -> None:
    text = emacs.suggestion()
    emacs.type("\t")
    emacs.until(lambda: not emacs.state["text"])
    assert emacs.written().rstrip("\n") == TEXT + "." + text.rstrip("\n")
    assert "accepted" in events(emacs.home)


def test_another_key_dismisses_and_tab_is_a_tab_again(emacs: Emacs) -> None:
    emacs.suggestion()
    emacs.type(LINE_START)
    emacs.until(lambda: not emacs.state["text"])
    emacs.type("\t")  # indents, which moves nothing here but the cursor
    emacs.type("#")
    expected = TEXT.removesuffix("self.items") + "#self.items."
    assert emacs.written().rstrip("\n") == expected


def test_one_that_is_asked_for(emacs: Emacs) -> None:
    text = emacs.suggestion()
    emacs.type(LINE_START)
    emacs.until(lambda: not emacs.state["text"])
    emacs.type(END)
    emacs.type(ASK)
    emacs.until(lambda: bool(emacs.state["text"]))
    assert emacs.state["text"] == text


def test_without_the_mode_it_is_the_entry_of_completion_at_point(emacs: Emacs) -> None:
    text = emacs.suggestion()
    emacs.type(TOGGLE)
    emacs.until(lambda: not emacs.state["mode"])
    emacs.type(COMPLETE)
    first = text.split("\n")[0]
    emacs.until(lambda: emacs.shows(first))
    assert TEXT + "." + first in emacs.written()
