"""The released family: its tables beside published ones, Figure 1, the models' cards.

python benchmarks/family.py [--runs FOLDER] [--humaneval FOLDER] [--corpus FOLDER]
    [--out runs/family] [--samples N] [--limit N] [--only tables|figure|cards …]

Measured are the shipped models. The tables are printed, for docs/results.md; the figure goes to
docs, each card into its model's folder. docs/family is the record of the models that are shipped:
their training runs without weights, and conditions and scores of each evaluation. What it has of
these weights is not measured again; the rest is, and what was stopped goes on by the same command.
New models come with `--runs`, the folder of their stages as docs/recipe.md makes them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import family_record
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
TYPED = ("--accept", "words", "--each", "3", "--limit", "200")
"""How held-out files are typed once more: three of a repository, so many requests each."""
SURE = ("--sure", "0.2")
EDITOR = ("--layout", "anchored")
"""The layout in which editors are answered; everything is shown."""
FEWEST, FEW, MANY = 10, 20, 100
"""Samples of a problem: of the model that is no end in itself, of the others, and those that
pass@100 takes, of one model at one temperature."""
RECORD = ROOT / "docs/family"
PASSED, KNOWN, OF = "pass_at_1", "family_bits_per_byte", "family_corpus"
TASKS = "of_tasks"
"""Of how many tasks a noted pass rate is, where a run's are not all of the same."""
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
    record: Path

    def count(self, model: str) -> int:
        """Samples of each of HumanEval's problems."""
        return min(self.samples, FEWEST) if model == "multi" else self.samples

    def folder(self, model: str, name: str) -> Path:
        """Where a run is kept: of what is asked otherwise it is another."""
        parts = [model, name]
        parts += [f"n{self.count(model)}"] if name in OF_PROBLEMS else []
        parts += [f"first-{self.limit}"] if self.limit is not None else []
        return self.out / "-".join(parts)

    def known(self, model: str, name: str) -> Path | None:
        """What the record has of an evaluation, if that is of the weights that are shipped and was
        asked the same."""
        place, shipped = self.record / self.folder(model, name).name, resolve(f"{NAME}-{model}")
        there = family_record.holds(place, self.evaluations(model)[name], shipped)
        return place if there and self.limit is None else None

    def evaluations(self, model: str) -> dict[str, list[str]]:
        """What a model is asked, by the name of the run's folder: the arguments of `eval`."""
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        problems = ["humaneval", "--data", str(self.humaneval / PROBLEMS), "--weights", "int8"]
        several = ["-n", str(self.count(model)), "--temperatures", "0.2,0.8", *limit]
        infill = ["infill", "--data", str(self.humaneval / INFILL), "--weights", "int8", *limit]
        asked = {"humaneval": [*problems, *several], "single-line": infill}
        if model == "instruct":
            return {"by-instruction": [*problems, *several, "--instruct"]}
        if model == "mono":
            many = ["-n", str(MANY), "--temperatures", "0.8", *limit]
            asked["humaneval-many"] = [*problems, *many]
            typing = ["typing", "--corpus", str(self.corpus), *TYPED, *limit]
            asked |= {"typing": [*typing, *SURE], "typing-editor": [*typing, *EDITOR]}
        return asked


def scored(asked: Asked) -> dict[str, list[Path]]:
    """The run folders of each shipped model, or what the record has of them."""
    due = [
        (model, name)
        for model in STAGES
        for name in asked.evaluations(model)
        if not asked.known(model, name)
    ]
    if due:  # faults are said before hours of work
        TextShard(asked.corpus, "heldout")
    for model, name in due:
        if (asked.folder(model, name) / "scores.json").exists():
            card.require_of(resolve(f"{NAME}-{model}"), folders.read(asked.folder(model, name)))
    for model, name in due:
        arguments, out = asked.evaluations(model)[name], asked.folder(model, name)
        if not (out / "scores.json").exists():
            folder = str(resolve(f"{NAME}-{model}"))
            _eval([*arguments, "--model", folder, "--out", str(out)])
        if asked.limit is None:
            family_record.keep_evaluation(out, arguments, asked.record / out.name)
    return {
        model: [
            asked.known(model, name) or asked.folder(model, name)
            for name in asked.evaluations(model)
        ]
        for model in STAGES
    }


def noted(runs: Sequence[Path], asked: Asked) -> None:
    """Note in a run's log, once, how much infilling and how much of the corpus' held-out text each
    kept checkpoint knows that was looked at, or the run's model where none is kept: of all stages
    the same text in the same rows. A run without weights is a record, whose log has it."""
    for run in runs:
        if not _has_weights(run):
            continue
        held, log = TextShard(asked.corpus, "heldout"), read(run / LOG)
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


def _has_weights(run: Path) -> bool:
    return any(run.glob("*.safetensors"))


def _line(
    axis: Any, log: Sequence[dict[str, Any]], measure: str, begun: float, how: str, color: str
) -> None:
    points = plot.points_of(log, measure)
    scale = 100 if measure == PASSED else 1
    across, up = [(begun + x) / 1e6 for x, _ in points], [scale * y for _, y in points]
    axis.plot(across, up, how, color=color, markersize=3.5)


def drawn(made: Sequence[Stage], out: Path) -> Path:
    """Figure 1: pass rate and bits per byte over the stages' tokens, ends of epochs dotted."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(7, 6), layout="constrained", sharex=True)
    heads = {PASSED: "single-line infilling, pass@1, %", KNOWN: "held-out Python, bits per byte"}
    begun = 0.0
    for number, stage in enumerate(made):
        log = [dict(entry) for entry in stage.log if entry["step"] <= stage.facts["step"]]
        for axis, (measure, head) in zip(axes, heads.items(), strict=True):
            most = max((each.get(TASKS, 0) for each in log), default=0)
            some = [e for e in log if measure == PASSED and e.get(TASKS, most) < most]
            rest, color = [each for each in log if each not in some], f"C{number}"
            _line(axis, some or rest, measure, begun, "o-", color)
            if some:
                _line(axis, rest, measure, begun, "D", color)
            axis.plot([], [], "o-", color=color, markersize=3.5, label=stage.folder.name)
            for _, tokens in plot.epochs_of(log):
                axis.axvline((begun + tokens) / 1e6, color="grey", linewidth=0.6, linestyle=":")
            axis.set_ylabel(head)
            axis.grid(alpha=0.25)
        begun += stage.facts["tokens"]
    axes[0].legend(frameon=False)
    axes[1].set_xlabel("million tokens trained on (dotted: ends of epochs)")
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
    parser.add_argument("--runs", type=Path, help="Default: those of the record.")
    parser.add_argument("--humaneval", type=Path, default=Path("humaneval"))
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--samples", type=int, default=FEW, help="Of each of HumanEval's problems.")
    parser.add_argument("--limit", type=int, help="Only the first tasks, to try it.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args(given)
    asked = Asked(
        options.runs or options.record / "runs", options.humaneval, options.corpus, options.out,
        options.samples, options.limit, options.record,
    )  # fmt: skip
    try:  # faults are said before hours of work
        runs = [asked.runs / name for name in STAGES["mono"]]
        if options.limit is not None and "figure" in options.only:
            raise UserError("--limit goes with --only tables or cards: logs keep what is noted")
        for model, names in STAGES.items() if {"cards", "figure"} & set(options.only) else ():
            training = [asked.runs / name for name in names]
            card.require(resolve(f"{NAME}-{model}"), training)
        stages(runs)
        for model in STAGES if {"tables", "cards"} & set(options.only) else ():
            resolve(f"{NAME}-{model}")
        found = scored(asked) if {"tables", "cards"} & set(options.only) else {}
        if "figure" in options.only:
            noted(runs, asked)
            for stage in stages([asked.runs / name for name in STAGES["instruct"]]):
                if _has_weights(stage.folder):
                    family_record.keep_run(stage, asked.record / "runs" / stage.folder.name)
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
