"""Every command block of the README runs, and prints what the README shows."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import shared

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Block:
    """A command and what it is said to print."""

    command: str
    output: str


def blocks() -> list[Block]:
    """The `$ command` lines of ```console blocks, each with the lines that follow it."""
    found = []
    for text in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Block(command, output))
    return found


def runnable(command: str) -> bool:
    """Commands that set up or test the project would run these tests again."""
    return not command.startswith(("git ", "cd ", "make ", "python3 -m venv", "pip "))


def test_the_readme_has_blocks_to_run() -> None:
    assert sum(runnable(block.command) for block in blocks()) >= 4


@pytest.mark.parametrize("block", [b for b in blocks() if runnable(b.command)], ids=str)
def test_a_block_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", block.command], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    shown, printed = timeless(block.output), timeless(done.stdout)
    assert shown == printed, "\n".join(difflib.ndiff(shown.splitlines(), printed.splitlines()))


def test_the_python_of_the_readme_runs() -> None:
    texts = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    programs = [text for text in texts if "import codegen25" in text]
    assert programs
    for program in programs:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout, done.stderr


SMALL = "--set stop_after=1 --set batch=4 --set micro_batch=4 --set compile=false"


@pytest.mark.slow
def test_the_commands_that_train_work_on_a_small_folder(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    commands = block[1].splitlines()
    verbs = [command.split()[1] for command in commands]
    assert verbs == ["data", "tokenizer", "train", "eval"]
    shutil.copytree(ROOT / "src", tmp_path / "my/code")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    commands[2] += f" {SMALL}"
    commands[3] += " --limit 2 --max-tokens 4"
    try:
        shutil.copy(shared("humaneval/HumanEval-SingleLineInfilling.jsonl.gz"), tmp_path)
    except pytest.skip.Exception:
        commands.pop()
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def timeless(text: str) -> str:
    """Text with its times and paths, which differ from machine to machine, left out."""
    text = re.sub(r"\d+(\.\d+)? ms", "N ms", text)
    text = re.sub(r'_ms": [\d.]+', '_ms": N', text)
    return re.sub(r"(/[\w.+-]+)+/(?=codegen25-)", "", text).strip()


def test_every_make_target_of_the_readme_exists() -> None:
    for block in blocks():
        if block.command.startswith("make "):
            done = subprocess.run(
                ["make", "--dry-run", *block.command.split()[1:]], cwd=ROOT, capture_output=True
            )
            assert done.returncode == 0, done.stderr


def test_every_path_of_the_readme_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
