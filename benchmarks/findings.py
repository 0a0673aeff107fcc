"""Experiments on the findings of CodeGen2.5, with small models: docs/findings.md.

python benchmarks/findings.py [NAME…] --corpus FOLDER --humaneval FOLDER [--tokenizer FILE]
    [--out runs/findings] [--positions 1.5e6] [--seeds N] [--set KEY=VALUE …] [--record FILE]

Each file of recipes/findings but `base` is an experiment: its arms, recipes that differ in what the
file says, are trained from several seeds and measured, and the table goes into the page. A model is
trained once, whatever experiments have it as an arm; what was done is not done again, and what was
stopped goes on by the same command. What was measured of each model is kept in the record, a file
of the checkout, so that the experiments go on on another machine too, and so that every mean can be
computed again; with other code for spans or rows, take another --out and another --record.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from findings_record import LOOK, Entry, Record, alone

from codegen25 import settings
from codegen25.config import read_json
from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.evaluate.generate import weights_sha256
from codegen25.evaluate.journal import write_json
from codegen25.evaluate.lines import probe
from codegen25.evaluate.report.text import insert
from codegen25.evaluate.statistics import Rate, over_seeds
from codegen25.tokenizer import Tokenizer
from codegen25.train import recipe as recipes
from codegen25.train.batches import rows_of
from codegen25.train.log import TEXT
from codegen25.train.loop import Probe, Progress, Trainer
from codegen25.train.provenance import FREE, PLACES, flat
from codegen25.train.recipe import Recipe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "recipes/findings"
BASE = FOLDER / "base.toml"
TOKENIZER = FOLDER / "tokenizer.json"
BITS = "held-out bits per byte"
HELD_OUT = {
    BITS: TEXT,
    "held-out lines: stop rate": "stop_rate",
    "held-out lines: exact": "exact_match",
}
INFILL = {
    "pass@1": "pass@1", "stop rate": "stop_rate", "overrun": "overrun",
    "suffix echo": "suffix_echo", "exact match": "exact_match",
    "edit similarity": "edit_similarity", "bits per byte of the holes": "bits_per_byte",
    "suffix gain, bits": "suffix_gain",
}  # fmt: skip
LEFT_TO_RIGHT = {"HumanEval's solutions, bits per byte": "bits_per_byte"}
"""Measures and what they are called in a look at held-out text, and in an evaluation's scores."""
PLAIN = frozenset((BITS, "bits per byte of the holes", "suffix gain, bits", *LEFT_TO_RIGHT))
"""Those that are no shares."""
LINES = 256
"""Held-out lines that are asked for."""
MOST = {"single-line": 64, "random-span-light": 96}
"""Tokens that an answer may have: more leave a context of 256 too little to read."""
Ask = Callable[[], Mapping[str, float]]
LEAST = 8
"""The same where the answers are not asked about."""
RECORD = ROOT / "docs/findings.jsonl"


@dataclass(frozen=True)
class Experiment:
    """A question, and the arms that answer it.

    measures  names from `HELD_OUT`, `INFILL` and `LEFT_TO_RIGHT`.
    arms      by name the fields of the recipe that differ from the base's; `layout`, that of the
              prompts when infills are asked for, and `against`, the arm to subtract, are none.
    holes     the set of `eval infill`.
    contrasts by what they say four arms each: what the first has more than the second, less what
              the third has more than the fourth.
    """

    question: str
    measures: tuple[str, ...]
    arms: dict[str, dict[str, Any]]
    seeds: int = 3
    holes: str = "single-line"
    contrasts: dict[str, list[str]] = field(default_factory=dict)

    def against(self, arm: str) -> str:
        """The arm that another is compared with: the one that it names, or the first."""
        named: str = self.arms[arm].get("against", next(iter(self.arms)))
        return named

    def overrides(self, arm: str) -> dict[str, str]:
        """What an arm changes of the recipe, as of `--set`."""
        fields = flat(self.arms[arm])
        return {k: json.dumps(v) for k, v in fields.items() if k not in ("layout", "against")}


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; `limit` is of the tasks to infill, `humaneval` their place.

    `overrides` are of all recipes, as of `--set`, and `positions` those that a model sees.
    """

    corpus: Path
    tokenizer: Path
    humaneval: Path
    out: Path
    positions: int
    overrides: Mapping[str, str]
    limit: int | None = None
    record: Path | None = None

    @property
    def kept(self) -> Path | None:
        """The record; of a first few tasks there is none."""
        return self.record if self.limit is None else None


def names() -> list[str]:
    """The experiments there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path != BASE)


def load(name: str) -> Experiment:
    """The experiment of a name."""
    return settings.load(Experiment, FOLDER / f"{name}.toml")


def recipe_of(overrides: Mapping[str, str], seed: int, asked: Asked) -> Recipe:
    """The recipe of an arm: as many whole steps as `positions` hold, of a share of the rows.

    A UserError where the corpus has too few rows for its epochs.
    """
    places = {
        "corpus": json.dumps(str(asked.corpus)),
        "tokenizer": json.dumps(str(asked.tokenizer)),
    }
    given = {**places, "seed": str(seed), **asked.overrides, **overrides}
    recipe = recipes.load(BASE, given)
    rows = len(rows_of(recipe, TextShard(asked.corpus), Tokenizer.load(asked.tokenizer)))
    steps = max(1, asked.positions // (recipe.batch * recipe.shape.context))
    wanted = max(1, math.floor(steps * recipe.batch / recipe.epochs))
    if wanted > rows:
        raise UserError(
            f"{asked.positions:,} positions in {recipe.epochs:g} epochs are {wanted:,} rows, and "
            f"{asked.corpus} has {rows:,}; take a larger corpus or fewer --positions"
        )
    return dataclasses.replace(recipe, share=wanted / rows)


def folder_of(recipe: Recipe, asked: Asked) -> Path:
    """Where a recipe's model is kept: a hash of all that it depends on."""
    texts = [TextShard(asked.corpus, split).sha256 for split in ("train", "heldout")]
    data = [*texts, Tokenizer.load(asked.tokenizer).sha256]
    key = hashlib.sha256(json.dumps([fields_of(recipe), data], sort_keys=True).encode())
    return asked.out / key.hexdigest()[:12]


def infills(recipe: Recipe) -> bool:
    """Whether a recipe teaches infilling at all."""
    return recipe.objective.kind != "causal" and recipe.corruption.rate > 0


def trained(recipe: Recipe, folder: Path, lines: int = LINES) -> dict[str, Any]:
    """Train to the end unless that is done; the last look at held-out text comes back, with so many
    lines infilled."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "heldout.json"
    if not done.exists():
        trainer = Trainer(recipe, folder / "model")
        trainer.resume(lambda text: print(text, file=sys.stderr))
        look: Probe = lambda model, tokenizer: {}  # noqa: E731
        if lines and infills(recipe):
            look = probe(Path(recipe.corpus), trainer.infill, lines)
        if not trainer.run(_report, look):
            sys.exit(f"stopped at step {trainer.step}; the same command goes on")
        found = {"parameters": trainer.model.config.parameters, "steps": trainer.steps}
        write_json(done, {**found, **trainer.found})
    return read_json(done)


def _report(progress: Progress) -> None:
    if progress.step % 50 == 0 or progress.step == progress.steps:
        print(
            f"  step {progress.step}/{progress.steps}, loss {progress.loss:.3f}, "
            f"{progress.seconds_left:.0f} s left",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def gathered(recipe: Recipe, asks: Mapping[str, Ask], asked: Asked) -> dict[str, Entry]:
    """The look at held-out text and what is asked beside it, of one model: from the record, or from
    the model, which is trained if anything is missing. One process at a time does that."""
    folder, record = folder_of(recipe, asked), Record(asked.kept)
    if known := record.whole(folder.name, asks):
        return known
    with alone(folder):
        if known := record.whole(folder.name, asks):  # another process was at it
            return known
        seen, weights = trained(recipe, folder), weights_sha256(folder / "model")
        look = record.look(folder.name)
        if look is None or look["weights"] != weights:
            look = record.add(folder.name, LOOK, weights, seen, recipe=fields_of(recipe))
        found = {LOOK: look}
        for of, ask in asks.items():
            before = record.find(folder.name, of, weights)
            found[of] = before or record.add(folder.name, of, weights, ask())
    return found


def fields_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe by dotted keys; but for places and how it is computed."""
    fields = flat(dataclasses.asdict(recipe))
    return {k: v for k, v in fields.items() if k.split(".")[0] not in FREE | PLACES}


def infilled(folder: Path, holes: str, layout: str | None, asked: Asked) -> dict[str, float]:
    """Metrics of `eval infill`, which goes on where it was stopped."""
    parts = (holes, layout, asked.limit and f"first-{asked.limit}")
    out = folder / "-".join(str(part) for part in parts if part)
    more = ["--set", holes, "--max-tokens", MOST[holes]]
    more += ["--layout", layout] if layout else []
    return _evaluated("infill", folder / "model", out, more, asked)


def continued(folder: Path, asked: Asked) -> dict[str, float]:
    """Metrics of `eval humaneval`, for the bits of the solutions that others wrote."""
    out = folder / "-".join(["humaneval", *([f"first-{asked.limit}"] if asked.limit else [])])
    return _evaluated("humaneval", folder / "model", out, ["--max-tokens", LEAST], asked)


def _evaluated(
    verb: str, model: Path, out: Path, more: Sequence[object], asked: Asked
) -> dict[str, float]:
    scores = out / "scores.json"
    if not scores.exists():
        command = [
            sys.executable, "-m", "codegen25", "eval", verb, "--data", asked.humaneval,
            "--model", model, "--weights", "int8", "--out", out, *more,
            *(["--limit", asked.limit] if asked.limit else []),
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        if done.returncode or not scores.exists():
            sys.exit(f"{out}: the evaluation ended with exit code {done.returncode}")
    return {name: each["value"] for name, each in read_json(scores)["metrics"].items()}


def measured(experiment: Experiment, arm: str, seed: int, asked: Asked) -> dict[str, Any]:
    """What an experiment asks of an arm's model of a seed, as far as the model can be asked it.

    Beside the measures the model's `parameters` and `steps`, and where they were `made`.
    """
    recipe = recipe_of(experiment.overrides(arm), seed, asked)
    folder = folder_of(recipe, asked)
    print(f"{arm}, seed {seed}: {folder}", file=sys.stderr, flush=True)
    wanted: dict[str, tuple[Mapping[str, str], Ask]] = {}
    if infills(recipe) and set(experiment.measures) & INFILL.keys():
        holes, layout = experiment.holes, experiment.arms[arm].get("layout")
        of = "-".join(filter(None, (holes, layout)))
        wanted[of] = INFILL, lambda: infilled(folder, holes, layout, asked)
    if set(experiment.measures) & LEFT_TO_RIGHT.keys():
        wanted["humaneval"] = LEFT_TO_RIGHT, lambda: continued(folder, asked)
    found = gathered(recipe, {of: ask for of, (_, ask) in wanted.items()}, asked)
    known = {}
    for of, names in {LOOK: HELD_OUT, **{of: names for of, (names, _) in wanted.items()}}.items():
        values = found[of]["found"]
        known |= {name: values[key] for name, key in names.items() if key in values}
    look = found[LOOK]["found"]
    return {
        **{name: known[name] for name in experiment.measures if name in known},
        "parameters": look["parameters"], "steps": look["steps"],
        "made": {f"{each['machine']}, torch {each['torch']}" for each in found.values()},
    }  # fmt: skip


def table(experiment: Experiment, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Means over seeds, and differences of the same seed, of what was `found` by arm.

    Where the arm to compare with has no such measure, the first that has it takes its place.
    """
    lines = ["| measure | arm | mean | difference | to |", "|---|---|---|---|---|"]
    for measure in experiment.measures:
        for arm, runs in found.items():
            values = [run[measure] for run in runs if measure in run]
            if not values:
                continue
            candidates = (experiment.against(arm), *found)
            other = next(each for each in candidates if any(measure in run for run in found[each]))
            before = [run[measure] for run in found[other] if measure in run]
            cells = [measure, arm, shown(over_seeds(values), measure), "", ""]
            if other != arm:
                pairs = zip(values, before, strict=True)
                cells[3:] = shown(over_seeds([a - b for a, b in pairs]), measure, "+"), other
            lines.append(f"| {' | '.join(cells)} |")
        for said, arms in experiment.contrasts.items():
            runs = zip(*(found[arm] for arm in arms), strict=True)
            quads = [[run[measure] for run in each if measure in run] for each in runs]
            if all(len(each) == 4 for each in quads):
                more = over_seeds([(a - b) - (c - d) for a, b, c, d in quads])
                lines.append(f"| {measure} | {said} | | {shown(more, measure, '+')} | |")
    return "\n".join(lines)


def shown(rate: Rate, measure: str, sign: str = "") -> str:
    """Bits as they are, rates in percent, the interval only where there is one, that of a rate
    from 0 to 100."""
    scale, form, unit = (1, f"{sign}.4f", "") if measure in PLAIN else (100, f"{sign}.1f", " %")
    ends = rate.low, rate.high
    if not sign and measure not in PLAIN:
        ends = max(rate.low, 0.0), min(rate.high, 1.0)
    mean, low, high = (format(scale * each, form) for each in (rate.value, *ends))
    return f"{mean}{unit}" + (f" [{low}, {high}]" if math.isfinite(rate.low) else "")


def conditions(asked: Asked, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the numbers depend on."""
    run = next(iter(found.values()))[0]
    made = sorted(set().union(*(each["made"] for runs in found.values() for each in runs)))
    return (
        f"{'; '.join(made)}; "
        f"{run['parameters'] / 1e6:.2f} million parameters, "
        f"{run['steps']:,.0f} steps, {asked.positions:,} positions; seeds 0 to "
        f"{len(next(iter(found.values()))) - 1}, 95 % intervals over them (Student's t), "
        f"differences of the same seed; corpus {TextShard(asked.corpus).sha256[:12]}."
    )


def run(name: str, seeds: int | None, asked: Asked, page: Path) -> None:
    """Do an experiment and put its table into the page."""
    experiment = load(name)
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in experiment.arms}
    for seed in range(seeds or experiment.seeds):
        for arm in experiment.arms:
            found[arm].append(measured(experiment, arm, seed, asked))
    text = f"{experiment.question}\n\n{table(experiment, found)}\n\n{conditions(asked, found)}"
    print(f"\n{text}\n", flush=True)
    with alone(page.parent):
        insert(page, name, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the experiments that are asked for, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--humaneval", type=Path, default=Path("humaneval"))
    parser.add_argument("--out", type=Path, default=Path("runs/findings"))
    parser.add_argument("--positions", type=float, default=1.5e6, help="That each model sees.")
    parser.add_argument("--seeds", type=int, help="Default: as the experiment says.")
    parser.add_argument("--limit", type=int, help="Only the first tasks to infill, to try it.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/findings.md")
    parser.add_argument("--record", type=Path, default=RECORD, help="What is known of all models.")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(names()):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    try:
        asked = Asked(
            given.corpus, given.tokenizer, given.humaneval, given.out,
            int(given.positions), settings.pairs(given.given), given.limit, given.record,
        )  # fmt: skip
        Record(asked.record)  # a fault is said before hours of training
        for name in given.names or names():
            run(name, given.seeds, asked, given.page)
    except UserError as error:
        sys.exit(f"findings: {error}")


if __name__ == "__main__":
    main()
