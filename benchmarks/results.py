"""Write docs/results.md: run measurements and put each table under its command and conditions.

python benchmarks/results.py [SECTION…] --humaneval FOLDER --corpus FOLDER --source FOLDER
    --samples FILE

Without names all sections are measured; with names only those, the others stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import shlex
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
WRITTEN = ["-n", "5", "--temperatures", "0.8", "--max-tokens", "96", "--weights", "int8"]
LATENCY = ["--shape", "30m", "--shape", "97m", "--rounds", "2"]
LARGER = [
    "--shape", "350m", "--rounds", "1", "--new", "1", "--new", "64",
    "--peer", "OpenVINO int8", "--peer", "llama.cpp Q8_0",
]  # fmt: skip
CONTEXT = [
    "--shape", "30m", "--shape", "97m", "--batch", "1", "--contexts", "256,512,1000,2000",
    "--plot", "docs/context",
]  # fmt: skip
MEMORY = ["--memory", "--shape", "default", "--shape", "97m", "--shape", "7b int4"]
SERVE = ["--seconds", "300"]
INT8 = ["--weights", "int8"]
TYPING = ["--model", "default"]
TYPING_97M = [
    "--model", "97m", "--files", "6", "--keystrokes", "20", "--peer-keystrokes", "3",
    "--peer", "llama.cpp Q8_0",
]  # fmt: skip
INFILL = "HumanEval-SingleLineInfilling.jsonl.gz"
SPANS = "HumanEval-RandomSpanInfillingLight.jsonl.gz"
HEAD = "# Results\n\nWritten by `python benchmarks/results.py`; each section says when and where.\n"


@dataclass(frozen=True)
class Section:
    """A measurement: `shown` is what a reader types, `command` the same with this run's paths."""

    title: str
    note: str
    shown: str
    command: list[str]


def sections(
    humaneval: Path,
    corpus: Path,
    source: Path,
    peers: str,
    samples: Path | None = None,
    runs: Path | None = None,
) -> dict[str, Section]:
    """All measurements by name."""
    written = ["--samples", str(samples)] if samples else []
    cli = [sys.executable, "-m", "codegen25"]
    data = str(humaneval / INFILL)
    problems = humaneval / "HumanEval.jsonl.gz"
    infill = [*cli, "eval", "infill", "--data", data]
    light = ["--set", "random-span-light", "--data", str(humaneval / SPANS)]
    spans = [*cli, "eval", "infill", *light, *INT8]
    return {
        "family": Section(
            "The family",
            "The shipped models beside what others published. The same command draws the figure "
            "and writes the models' cards.",
            "python benchmarks/family.py --humaneval humaneval --corpus corpus"
            + (" --runs runs" if runs else ""),
            [
                sys.executable, "benchmarks/family.py",
                "--humaneval", str(humaneval), "--corpus", str(corpus),
                *(["--runs", str(runs)] if runs else []),
            ],
        ),
        "personal": Section(
            "A personal model",
            "The shipped model adapted to three quarters of this repository's own files, which it "
            "never saw; the rest is measured, some of it typed once more, its first 60 requests.",
            "python benchmarks/personal.py src/codegen25 --limit 60",
            [sys.executable, "benchmarks/personal.py", "src/codegen25", "--limit", "60"],
        ),
        "infilling": Section(
            "Single-line infilling",
            "Greedy, plain layout, the answer as emitted, int8 weights as `complete` has them on a "
            "CPU. 95 % intervals by bootstrap over the 164 problems.",
            f"codegen25 eval infill --data {INFILL} --weights int8",
            [*infill, *INT8],
        ),
        "spans": Section(
            "Spans within lines",
            "Random spans, the cursor anywhere in a line; greedy, the answer as emitted.",
            f"codegen25 eval infill --set random-span-light --data {SPANS} --weights int8",
            spans,
        ),
        "anchored": Section(
            "The same, anchored at the line's start",
            "The layout of the typing loop, in which a keystroke costs the tokens typed. Where a "
            "cursor stands at a line's start, as in the single-line set, it is the plain layout.",
            f"codegen25 eval infill --set random-span-light --data {SPANS} --weights int8 "
            "--layout anchored",
            [*spans, "--layout", "anchored"],
        ),
        "suffix-first": Section(
            "Single lines, suffix first",
            "Anchored at the document's start.",
            f"codegen25 eval infill --data {INFILL} --weights int8 --layout suffix_first",
            [*infill, *INT8, "--layout", "suffix_first"],
        ),
        "int4": Section(
            "Single lines with int4 weights",
            "Half the memory again.",
            f"codegen25 eval infill --data {INFILL} --weights int4",
            [*infill, "--weights", "int4"],
        ),
        "floor": Section(
            "The floor",
            "What the empty string scores on the same tasks.",
            f"codegen25 eval infill --data {INFILL} --floor",
            [*cli, "eval", "infill", "--data", data, "--floor"],
        ),
        "latency": Section(
            "Latency",
            "The announcement's table: two prompts of 2,000 tokens at once, greedy, medians of "
            "interleaved rounds, random weights; ours asked as batch work. The floor stands "
            "in `src/codegen25/bench/roofline.py`.",
            f"codegen25 bench latency {' '.join(LATENCY)} --peers-python peers/bin/python",
            [*cli, "bench", "latency", *LATENCY, "--peers-python", peers],
        ),
        "latency-350m": Section(
            "Latency of 350 million",
            "One round, beside OpenVINO and llama.cpp alone: a row of a peer takes minutes.",
            f"codegen25 bench latency {shlex.join(LARGER)} --peers-python peers/bin/python",
            [*cli, "bench", "latency", *LARGER, "--peers-python", peers],
        ),
        "context": Section(
            "Cost against context length",
            "One prompt read with nothing cached, and a step after it; medians of three rounds.",
            f"codegen25 bench latency {' '.join(CONTEXT)}",
            [*cli, "bench", "latency", *CONTEXT],
        ),
        "memory": Section(
            "Memory of sampling",
            "A fresh process each, the cache of one context full. The goal is 300 MB beside "
            "weights and cache, and 8 GB for 7 billion parameters in int4 (random bytes).",
            f"codegen25 bench latency {shlex.join(MEMORY)}",
            [*cli, "bench", "latency", *MEMORY],
        ),
        "typing": Section(
            "Typing",
            "Real files typed character by character, 1,200 tokens before the cursor and 400 after "
            "it (the shipped model sees what its context holds). What the rows are stands in "
            "`src/codegen25/bench/keystrokes.py`.",
            f"codegen25 bench typing {' '.join(TYPING)} --peers-python peers/bin/python",
            [*cli, "bench", "typing", *TYPING, "--peers-python", peers],
        ),
        "typing-97m": Section(
            "Typing with 97 million parameters",
            "Random weights.",
            f"codegen25 bench typing {shlex.join(TYPING_97M)} --peers-python peers/bin/python",
            [*cli, "bench", "typing", *TYPING_97M, "--peers-python", peers],
        ),
        "throughput": Section(
            "Samples for an evaluation",
            "200 answers of 64 tokens to each of 16 prompts at temperature 0.8, top-p 0.95.",
            "codegen25 bench throughput HumanEval.jsonl.gz --peers-python peers/bin/python",
            [*cli, "bench", "throughput", str(problems), "--peers-python", peers],
        ),
        "serve": Section(
            "Serving",
            "64 people who type real code at the shipped model; who has no answer when the next "
            "character comes hangs up and asks again.",
            f"codegen25 bench serve {' '.join(SERVE)} --peers-python peers/bin/python",
            [*cli, "bench", "serve", *SERVE, "--peers-python", peers],
        ),
        "sandbox": Section(
            "The sandbox",
            "Deciding samples beside the peers; what the rows are stands in "
            "`src/codegen25/bench/sandbox.py`. A model's samples are the shipped one's: `codegen25 "
            f"eval humaneval {' '.join(WRITTEN)} --out RUN`, its samples.jsonl.",
            f"codegen25 bench sandbox humaneval{' --samples RUN/samples.jsonl' if written else ''} "
            "--peers-python peers/bin/python",
            [*cli, "bench", "sandbox", str(humaneval), *written, "--peers-python", peers],
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
    done = subprocess.run(section.command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{section.title}: exit code {done.returncode}; docs/results.md stays as it was")
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
    parser.add_argument("--runs", type=Path, help="The stages of a new family.")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--samples", type=Path, help="A model's, for the sandbox: a .jsonl.")
    asked = parser.parse_args()
    known = sections(
        asked.humaneval.resolve(), asked.corpus.resolve(), asked.source.resolve(),
        asked.peers_python, asked.samples and asked.samples.resolve(),
        asked.runs and asked.runs.resolve(),
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
