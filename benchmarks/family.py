"""The released family: its tables beside published ones, Figure 1, the models' cards.

python benchmarks/family.py --runs FOLDER --humaneval FOLDER --corpus FOLDER [--out runs/family]
    [--samples 200] [--limit N] [--only tables|figure|cards …]

`--runs` holds the stages' training runs as docs/recipe.md makes them: multi, mono and instruct.
Measured are the shipped models. The tables are printed, for docs/results.md; the figure goes to
docs, each card into its model's folder. What was measured is not measured again, and what was
stopped goes on by the same command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codegen25 import checkpoint
from codegen25.config import read_json
from codegen25.data.shards import TextShard
from codegen25.directory import FACTS
from codegen25.errors import UserError
from codegen25.evaluate import card, curve, report
from codegen25.evaluate.report import folders
from codegen25.models import resolve
from codegen25.train import plot
from codegen25.train.heldout import of_text
from codegen25.train.lineage import Stage, stages
from codegen25.train.log import LOG, TEXT, note, read

ROOT = Path(__file__).parent.parent
NAME = "codegen25-30m"
STAGES = {
    "multi": ("multi",),
    "mono": ("multi", "mono"),
    "instruct": ("multi", "mono", "instruct"),
}
"""Each model's training runs, in their order."""
INFILL = "HumanEval-SingleLineInfilling.jsonl.gz"
PROBLEMS = "HumanEval.jsonl.gz"
OF_PROBLEMS = ("humaneval", "by-instruction")
SURE, KEYS = 0.2, 1500
"""`sure` at pauses, where every key shows all; the requests of a file when every key asks."""
FEW = 20
"""Samples of a problem for the model that is no end in itself."""
PASSED, KNOWN, OF = "pass_at_1", "family_bits_per_byte", "family_corpus"
CONTEXT = 1024
"""Tokens of the rows in which all stages are compared."""
PARTS = ("tables", "figure", "cards")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    runs: Path
    humaneval: Path
    corpus: Path
    out: Path
    samples: int
    limit: int | None

    def count(self, model: str) -> int:
        """Samples of each of HumanEval's problems."""
        return min(self.samples, FEW) if model == "multi" else self.samples

    def folder(self, model: str, name: str) -> Path:
        """Where a run is kept: of what is asked otherwise it is another."""
        parts = [model, name]
        parts += [f"n{self.count(model)}"] if name in OF_PROBLEMS else []
        parts += [f"first-{self.limit}"] if self.limit is not None else []
        return self.out / "-".join(parts)

    def evaluations(self, model: str) -> dict[str, list[str]]:
        """What a model is asked, by the name of the run's folder: the arguments of `eval`."""
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        several = ["-n", str(self.count(model)), "--temperatures", "0.2,0.8"]
        several += ["--weights", "int8", *limit]
        problems = ["humaneval", "--data", str(self.humaneval / PROBLEMS), *several]
        infill = ["infill", "--data", str(self.humaneval / INFILL), "--weights", "int8", *limit]
        asked = {"humaneval": problems, "single-line": infill}
        if model == "instruct":
            return {"by-instruction": [*problems, "--instruct"]}
        if model == "mono":
            typing = ["typing", "--corpus", str(self.corpus), "--accept", "words"]
            asked["typing-words"] = [*typing, "--sure", str(SURE), "--each", "6", *limit]
            keys = ["--limit", str(self.limit or KEYS), "--trigger", "every"]
            asked["every-key-words"] = [*typing, "--each", "2", *keys]
        return asked


def scored(asked: Asked) -> dict[str, list[Path]]:
    """The run folders of each shipped model."""
    found: dict[str, list[Path]] = {}
    for model in STAGES:
        for name, arguments in asked.evaluations(model).items():
            out, folder = asked.folder(model, name), resolve(f"{NAME}-{model}")
            if not (out / "scores.json").exists():
                _eval([*arguments, "--model", str(folder), "--out", str(out)])
            card.require_of(folder, folders.read(out))
            found.setdefault(model, []).append(out)
    return found


def noted(runs: Sequence[Path], asked: Asked) -> None:
    """Note in a run's log, once, how much infilling and how much of the corpus' held-out text each
    kept checkpoint knows that was looked at, or the run's model where none is kept: of all stages
    the same text in the same rows."""
    held = TextShard(asked.corpus, "heldout")
    for run in runs:
        log = read(run / LOG)
        known = {e["step"] for e in log if e.get(OF) == held.sha256}
        looked, done = ({e["step"] for e in log if name in e} for name in (TEXT, PASSED))
        for folder in sorted((run / "checkpoints").glob("step-*")) or [run]:
            step = read_json(folder / FACTS)["step"]
            if step not in looked:
                continue
            if step not in known:
                loaded = checkpoint.load(folder)
                look = of_text(held, loaded.tokenizer, CONTEXT, "cpu")
                bits = look.bits_per_byte(loaded.model, torch.float32)
                note(run / LOG, {**curve.point(folder, run), KNOWN: bits, OF: held.sha256})
            if step not in done:
                arguments = asked.evaluations("multi")["single-line"]
                _eval([*arguments, "--model", str(folder), "--log", str(run)])


def drawn(made: Sequence[Stage], out: Path) -> Path:
    """Figure 1: pass rate and bits per byte over the stages' tokens, ends of epochs dotted."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(7, 6), layout="constrained", sharex=True)
    heads = {PASSED: "single-line infilling, pass@1, %", KNOWN: "held-out Python, bits per byte"}
    begun = 0.0
    for stage in made:
        log = [dict(entry) for entry in stage.log if entry["step"] <= stage.facts["step"]]
        for axis, (measure, head) in zip(axes, heads.items(), strict=True):
            scale = 100 if measure == PASSED else 1
            points = [(begun + x, scale * y) for x, y in plot.points_of(log, measure)]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", markersize=3.5,
                          label=stage.folder.name)  # fmt: skip
            for _, tokens in plot.epochs_of(log):
                axis.axvline(begun + tokens, color="grey", linewidth=0.6, linestyle=":")
            axis.set_ylabel(head)
            axis.grid(alpha=0.25)
        begun += stage.facts["tokens"]
    axes[0].legend(frameon=False)
    axes[1].set_xlabel("tokens trained on (dotted: ends of epochs)")
    for ending in (".png", ".svg"):
        more: Mapping[str, Any] = {"metadata": {"Date": None}} if ending == ".svg" else {}
        figure.savefig(out.with_suffix(ending), dpi=160, **more)
    plt.close(figure)
    return out.with_suffix(".png")


def _eval(arguments: Sequence[str]) -> None:
    print(f"eval {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "codegen25", "eval", *arguments], stdout=sys.stderr
    )
    if done.returncode:
        sys.exit(f"family: eval {arguments[0]} ended with exit code {done.returncode}")


def main(given: Sequence[str] | None = None) -> None:
    """Measure what is missing, then print, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--humaneval", type=Path, default=Path("humaneval"))
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--samples", type=int, default=200, help="Of each of HumanEval's problems.")
    parser.add_argument("--limit", type=int, help="Only the first tasks, to try it.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args(given)
    asked = Asked(
        options.runs, options.humaneval, options.corpus, options.out, options.samples, options.limit
    )
    try:  # faults are said before hours of work
        runs = [asked.runs / name for name in STAGES["mono"]]
        if options.limit is not None and "figure" in options.only:
            raise UserError("--limit goes with --only tables or cards: logs keep what is noted")
        for model, names in STAGES.items() if "cards" in options.only else ():
            training = [asked.runs / name for name in names]
            card.require(resolve(f"{NAME}-{model}"), training)
        stages(runs)
        for model in STAGES if {"tables", "cards"} & set(options.only) else ():
            resolve(f"{NAME}-{model}")
        TextShard(asked.corpus, "heldout")
        found = scored(asked) if {"tables", "cards"} & set(options.only) else {}
        if "figure" in options.only:
            noted(runs, asked)
            print(drawn(stages(runs), options.docs / "family"), file=sys.stderr)
        if "cards" in options.only:
            for model, names in STAGES.items():
                training = [asked.runs / name for name in names]
                written = card.run(resolve(f"{NAME}-{model}"), training, found[model])
                print(written, file=sys.stderr)
        if "tables" in options.only:
            print(report.tables_of([each for several in found.values() for each in several]))
    except UserError as error:
        sys.exit(f"family: {error}")


if __name__ == "__main__":
    main()
