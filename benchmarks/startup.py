"""Seconds from process start: the help page, `import torch`, the first token of `complete`.

python benchmarks/startup.py [rounds]

Rounds are interleaved; medians are printed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples/inventory.py"
CLI = [sys.executable, "-m", "codegen25"]
COMMANDS = {
    "codegen25 --help": [*CLI, "--help"],
    "import torch, nothing else": [sys.executable, "-c", "import torch; print(1)"],
    "complete, first token": [*CLI, "complete", str(EXAMPLE), "--at", "15:1", "--stream"],
}


def first_output(command: list[str]) -> float:
    """Seconds until the first byte on standard output."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def main(rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(first_output(command))
    print("| until the first byte of | median s | fastest s |")
    print("|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
