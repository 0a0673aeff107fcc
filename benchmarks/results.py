"""Write docs/results.md: run measurements and put each table under its command and conditions.

python benchmarks/results.py [SECTION…] --humaneval FOLDER --corpus FOLDER --source FOLDER

Without names all sections are measured; with names only those, the others stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from codegen25.models import DEFAULT, resolve

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results.md"
TRAIN = ["--size", "5m", "--size", "30m", "--batch", "64", "--steps", "2", "--race-tokens", "6e5"]
INFILL = "HumanEval-SingleLineInfilling.jsonl.gz"
HEAD = "# Results\n\nWritten by `python benchmarks/results.py`; each section says when and where.\n"


@dataclass(frozen=True)
class Section:
    """A measurement: `shown` is what a reader types, `command` the same with this run's paths."""

    title: str
    note: str
    shown: str
    command: list[str]


def sections(humaneval: Path, corpus: Path, source: Path, peers: str) -> dict[str, Section]:
    """All measurements by name."""
    cli = [sys.executable, "-m", "codegen25"]
    data = str(humaneval / INFILL)
    infill = [*cli, "eval", "infill", "--data", data]
    return {
        "infilling": Section(
            "Single-line infilling",
            "Greedy, plain layout, the answer as emitted. 95 % intervals by bootstrap over the 164 "
            "problems.",
            f"codegen25 eval infill --data {INFILL}",
            infill,
        ),
        "suffix-first": Section(
            "The same, suffix first",
            "The layout in which a keystroke costs one token.",
            f"codegen25 eval infill --data {INFILL} --layout suffix_first",
            [*infill, "--layout", "suffix_first"],
        ),
        "floor": Section(
            "The floor",
            "What the empty string scores on the same tasks.",
            f"codegen25 eval infill --data {INFILL} --floor",
            [*cli, "eval", "infill", "--data", data, "--floor"],
        ),
        "humaneval": Section(
            "HumanEval",
            "20 samples a task, cut at the function's end; the tables of the field take 200.",
            "codegen25 eval humaneval --data HumanEval.jsonl.gz -n 20 --temperatures 0.2,0.8",
            [
                *cli, "eval", "humaneval", "--data", str(humaneval / "HumanEval.jsonl.gz"),
                "-n", "20", "--temperatures", "0.2,0.8",
            ],
        ),
        "sandbox": Section(
            "The sandbox",
            "Deciding samples beside the peers; what the rows are stands in "
            "`src/codegen25/bench/sandbox.py`.",
            "codegen25 bench sandbox humaneval --peers-python peers/bin/python",
            [*cli, "bench", "sandbox", str(humaneval), "--peers-python", peers],
        ),
        "startup": Section(
            "Start-up",
            "Seconds from process start, rounds interleaved.",
            "python benchmarks/startup.py 7",
            [sys.executable, "benchmarks/startup.py", "7"],
        ),
        "whitespace": Section(
            "Whitespace in the vocabulary",
            "Held-out bytes per token; what the columns mean stands in the benchmark.",
            "python benchmarks/whitespace.py corpus",
            [sys.executable, "benchmarks/whitespace.py", str(corpus)],
        ),
        "train": Section(
            "Training",
            "Tokens a second beside the peers, all on the same rows; ours also composes span "
            "corruption. A larger `ours is` is better. What the race is stands in "
            "`src/codegen25/bench/race.py`.",
            f"codegen25 bench train corpus {' '.join(TRAIN)} --peers-python peers/bin/python",
            [*cli, "bench", "train", str(corpus), *TRAIN, "--peers-python", peers],
        ),
        "data": Section(
            "Data",
            "Every step of the pipeline, and its peers on the same files; what the columns mean "
            "stands in `src/codegen25/bench`.",
            "codegen25 bench data SOURCE --corpus corpus --recipe recipes/mono-tiny.toml "
            "--documents 20000 --peers-python peers/bin/python",
            [
                *cli, "bench", "data", str(source), "--corpus", str(corpus),
                "--recipe", "recipes/mono-tiny.toml", "--documents", "20000",
                "--peers-python", peers,
            ],
        ),
    }  # fmt: skip


def measured(section: Section) -> str:
    """The section's Markdown: what it is, its command, its conditions, what the command printed."""
    print(section.shown, file=sys.stderr, flush=True)
    done = subprocess.run(section.command, check=True, capture_output=True, text=True, cwd=ROOT)
    output = done.stdout.strip().replace("\n## ", "\n### ")
    return (
        f"## {section.title}\n\n{section.note}\n\n`{section.shown}`\n\n{conditions()}\n\n{output}\n"
    )


def conditions() -> str:
    """Date, machine, versions and weights: what the numbers depend on."""
    weights = hashlib.sha256((resolve(DEFAULT) / "model.safetensors").read_bytes()).hexdigest()
    flags = Path("/proc/cpuinfo")
    bf16 = flags.exists() and "avx512_bf16" in flags.read_text()
    return (
        f"{datetime.now(UTC).date()}; {psutil.cpu_count()} cores, {platform.machine()}"
        f"{' with AVX-512 BF16' if bf16 else ''}, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, shared and noisy; "
        f"Python {platform.python_version()}, torch {version('torch')}, "
        f"tokenizers {version('tokenizers')}; {resolve(DEFAULT).name} {weights[:12]}"
    )


def standing() -> dict[str, str]:
    """The sections of the file as it is, by title."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    parts = re.split(r"^(?=## )", text, flags=re.M)[1:]
    return {part.split("\n", 1)[0].removeprefix("## "): part for part in parts}


def main() -> None:
    """Measure what is asked for and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SECTION")
    parser.add_argument("--humaneval", type=Path, default=Path("humaneval"))
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--source", type=Path, default=Path("source"))
    parser.add_argument("--peers-python", default=sys.executable)
    asked = parser.parse_args()
    known = sections(
        asked.humaneval.resolve(), asked.corpus.resolve(), asked.source.resolve(),
        asked.peers_python,
    )  # fmt: skip
    if unknown := set(asked.names) - known.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in asked.names or known:
        texts = {**standing(), known[name].title: measured(known[name])}
        ordered = [texts[each.title] for each in known.values() if each.title in texts]
        text = "\n".join([HEAD, *(part.strip() + "\n" for part in ordered)])
        staging = RESULTS.with_name(f".{RESULTS.name}.new")
        staging.write_text(text, encoding="utf-8")
        staging.replace(RESULTS)


if __name__ == "__main__":
    main()
