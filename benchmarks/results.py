"""Write docs/results.md: run every measurement and put its table under its command.

python benchmarks/results.py HUMANEVAL_FOLDER CORPUS
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from codegen25.models import DEFAULT, resolve

ROOT = Path(__file__).parent.parent
INFILL = "HumanEval-SingleLineInfilling.jsonl.gz"


def measured(title: str, note: str, command: list[str], shown: str) -> str:
    """A section: what it is, the command, what the command printed."""
    print(f"{title}: {shown}", file=sys.stderr, flush=True)
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return f"## {title}\n\n{note}\n\n`{shown}`\n\n{output.strip()}\n"


def conditions() -> str:
    """Machine, versions, weights and date: what the numbers depend on."""
    weights = hashlib.sha256((resolve(DEFAULT) / "model.safetensors").read_bytes()).hexdigest()
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, shared and noisy",
        "versions": f"Python {platform.python_version()}, torch {version('torch')}, "
        f"tokenizers {version('tokenizers')}",
        "model": f"{resolve(DEFAULT).name}, sha256 {weights[:16]}",
    }
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())


def main(humaneval: Path, corpus: Path) -> None:
    cli, python = [sys.executable, "-m", "codegen25"], sys.executable
    data = str(humaneval / INFILL)
    sections = [
        measured(
            "Single-line infilling",
            "Greedy, plain layout, the answer as emitted. 95 % intervals by bootstrap over the 164 "
            "problems.",
            [*cli, "eval", data, "--max-tokens", "64"],
            f"codegen25 eval {INFILL} --max-tokens 64",
        ),
        measured(
            "The same, suffix first",
            "The layout in which a keystroke costs one token.",
            [*cli, "eval", data, "--max-tokens", "64", "--layout", "suffix_first"],
            f"codegen25 eval {INFILL} --max-tokens 64 --layout suffix_first",
        ),
        measured(
            "The floor",
            "What the empty string scores on the same tasks.",
            [*cli, "eval", data, "--floor"],
            f"codegen25 eval {INFILL} --floor",
        ),
        measured(
            "Start-up",
            "Seconds from process start, rounds interleaved.",
            [python, "benchmarks/startup.py", "7"],
            "python benchmarks/startup.py 7",
        ),
        measured(
            "Whitespace in the vocabulary",
            "Held-out bytes per token; what the columns mean stands in the benchmark.",
            [python, "benchmarks/whitespace.py", str(corpus)],
            "python benchmarks/whitespace.py corpus",
        ),
    ]
    head = "# Results\n\nWritten by `python benchmarks/results.py HUMANEVAL_FOLDER CORPUS`.\n"
    text = "\n".join([head, conditions(), *sections])
    (ROOT / "docs/results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
