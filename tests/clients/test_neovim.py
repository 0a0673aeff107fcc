"""Our plugin in a real Neovim, without a screen: type, see ghost text, press Tab, save."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="the language server's own packages are not installed")

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("nvim") is None, reason="there is no nvim on this machine"),
]
TEXT = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items"""
START = [sys.executable, "-m", "codegen25", "lsp"]

SCRIPT = """
vim.o.swapfile = false
vim.opt.rtp:prepend(PLUGIN)
local codegen25 = require("codegen25")
codegen25.setup({ cmd = vim.json.decode(START), init_options = { budget_ms = 20000 } })
vim.cmd("filetype on | edit " .. FILE)

local steps, seen = STEPS, {}
local function note(name)
  local marks = vim.api.nvim_buf_get_extmarks(
    0, vim.api.nvim_create_namespace("codegen25"), 0, -1, { details = true })
  local mark = marks[1] and marks[1][4].virt_text[1][1] or nil
  seen[#seen + 1] = { step = name, suggestion = codegen25.suggestion(), drawn = mark }
end
local function leave()
  vim.fn.writefile({ vim.json.encode(seen) }, SEEN)
  vim.cmd("qa!")
end
vim.defer_fn(leave, 90000)

-- A step: keys to press; then wait until there is a suggestion ("shown"), or none ("gone").
local function next_step()
  local step = table.remove(steps, 1)
  if not step then
    return leave()
  end
  vim.api.nvim_input(step[1])
  local timer = vim.loop.new_timer()
  timer:start(150, 50, vim.schedule_wrap(function()
    local there = codegen25.suggestion() ~= nil
    if timer:is_active() and (step[2] == "any" or (step[2] == "shown") == there) then
      timer:stop()
      note(step[1])
      next_step()
    end
  end))
end

-- Keys wait until the server has started and has its model: a progress message says "ready".
local handler = vim.lsp.handlers["$/progress"]
vim.lsp.handlers["$/progress"] = function(err, result, ...)
  if result.value.kind == "end" then
    vim.defer_fn(next_step, 100)
  end
  return handler(err, result, ...)
end
"""

Seen = list[dict[str, str]]


def drive(tmp_path: Path, *steps: tuple[str, str], text: str = TEXT) -> tuple[str, Seen]:
    """Press keys in a file; the file afterwards, and what was suggested after each step."""
    file, seen = tmp_path / "stack.py", tmp_path / "seen.json"
    file.write_text(text)
    values = {
        "PLUGIN": ROOT / "editors/neovim", "START": json.dumps(START),
        "FILE": file, "SEEN": seen,
    }  # fmt: skip
    head = "".join(f"local {name} = {json.dumps(str(value))}\n" for name, value in values.items())
    listed = ", ".join(f"{{{json.dumps(keys)}, {json.dumps(state)}}}" for keys, state in steps)
    script = tmp_path / "script.lua"
    script.write_text(head + SCRIPT.replace("STEPS", f"{{ {listed} }}"))
    env = os.environ | {
        "PYTHONPATH": str(ROOT / "src"), "CODEGEN25_CACHE": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    ran = subprocess.run(
        ["nvim", "--headless", "-u", "NONE", "-S", script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=env,
    )  # fmt: skip
    assert seen.exists(), ran.stderr
    assert ran.returncode == 0 and "Error" not in ran.stderr, ran.stderr
    return file.read_text(), json.loads(seen.read_text())


def events(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "cache/events.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_tab_accepts_what_is_shown(tmp_path: Path) -> None:
    text, seen = drive(tmp_path, ("GA.", "shown"), ("<Tab>", "any"), ("<Esc>:w<CR>", "gone"))
    suggestion = seen[0]["suggestion"]
    assert suggestion.startswith("append") and seen[0]["drawn"] == suggestion.split("\n")[0]
    assert text == TEXT + "." + suggestion + "\n"
    assert events(tmp_path)[0] == "accepted"


def test_typing_on_esc_and_a_tab_without_a_suggestion(tmp_path: Path) -> None:
    text, seen = drive(
        tmp_path,
        ("GA.", "shown"),
        ("app", "shown"),  # typed through: the rest stays
        ("<Esc>", "gone"),
        ("ggO<Tab>", "any"),  # asks for nothing that could be there at once
        ("<Esc>:w<CR>", "gone"),
    )
    whole = seen[0]["suggestion"]
    assert seen[1]["suggestion"] == seen[1]["drawn"] == whole[3:]
    assert text.startswith("\t\nclass Stack")
    assert text.endswith(TEXT + ".app\n")


def test_a_suggestion_in_the_middle_of_a_line_and_of_several_lines(tmp_path: Path) -> None:
    middle = TEXT + ".append(item)\n\nstack = Stack()\nprint(sta)\n"
    text, seen = drive(
        tmp_path, ("Gf)i", "any"), ("c", "shown"), ("<Tab><Esc>:w<CR>", "gone"), text=middle
    )
    assert text == middle.replace("sta)", "stac" + seen[1]["suggestion"] + ")")
