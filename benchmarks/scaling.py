"""Which size a budget of compute is best spent on: docs/findings.md, "Size".

python benchmarks/scaling.py --corpus FOLDER [--out runs/scaling] [--flops 3e13]

Models of a few sizes get the same compute. Held-out bits per byte are looked at on the way, while
the rate is high, and L(N, D) = E + A / N^a + B / D^b is fitted to all looks (arXiv 2203.15556): N
the weights that multiply, D positions. The table, the fit and a plot go into the page. What was
done is not done again, and what was stopped goes on by the same command.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import findings
import numpy as np

from codegen25 import settings
from codegen25.config import ModelConfig
from codegen25.errors import UserError
from codegen25.evaluate.report.text import insert
from codegen25.tokenizer import Tokenizer
from codegen25.train.log import LOG, TEXT, read
from codegen25.train.recipe import Recipe

SIZES = {"0.3m": (2, 64), "1m": (2, 128), "2m": (3, 192), "4m": (4, 256), "9m": (6, 320)}
"""Blocks and width by name."""
COOLDOWN, LOOKS = 0.2, 24
EXPONENTS = np.arange(0.05, 1.25, 0.05)
BUDGETS = (1 / 3, 1, 3, 10)
"""Times what each size got: the law is asked no further from what was measured."""


@dataclass(frozen=True)
class Look:
    """Held-out bits per byte of a model of `weights` that multiply, after `positions`."""

    weights: float
    positions: float
    bits: float

    @property
    def flops(self) -> float:
        """Compute until then."""
        return 6.0 * self.weights * self.positions


@dataclass(frozen=True)
class Grown:
    """A size's run: its looks while the rate was high, and the last one, after it fell."""

    name: str
    parameters: int
    looks: list[Look]
    last: Look


@dataclass(frozen=True)
class Law:
    """E + A / N^a + B / D^b."""

    e: float
    a: float
    alpha: float
    b: float
    beta: float

    def bits(self, weights: float, positions: float) -> float:
        """Held-out bits per byte at the high rate, as the law has them."""
        return self.e + self.a / weights**self.alpha + self.b / positions**self.beta

    @property
    def caveat(self) -> str:
        """What is to be said of exponents at an end of those tried."""
        ends = (EXPONENTS[0], EXPONENTS[-1])
        named = {"N": self.alpha, "D": self.beta}
        found = [k for k, v in named.items() if np.isclose(v, ends).any()]
        if not found:
            return ""
        return f" The exponent of {' and '.join(found)} lies at an end of those tried."

    def best(self, flops: float) -> Look:
        """The model that a budget is best spent on, among sizes up to a thousand million."""
        sizes = np.geomspace(1e5, 1e9, 400)
        found = [Look(n, flops / 6 / n, self.bits(n, flops / 6 / n)) for n in sizes]
        return min(found, key=lambda look: look.bits)


def fitted(looks: Sequence[Look]) -> Law:
    """The law of least squares: both exponents on a grid, the rest solved for, none below 0."""
    n, d, bits = np.array([(look.weights, look.positions, look.bits) for look in looks]).T
    best: tuple[float, Law] | None = None
    for alpha, beta in itertools.product(EXPONENTS, EXPONENTS):
        columns = np.stack([np.ones_like(n), n**-alpha, d**-beta], 1)
        scale = columns.max(0)
        solved, *_ = np.linalg.lstsq(columns / scale, bits, rcond=None)
        e, a, b = (float(each) for each in solved / scale)
        error = float(((columns @ [e, a, b] - bits) ** 2).sum())
        if min(e, a, b) >= 0 and (best is None or error < best[0]):
            best = error, Law(e, a, float(alpha), b, float(beta))
    if best is None:
        raise UserError("no law of this form falls with size and positions in these runs")
    return best[1]


def planned(name: str, asked: findings.Asked, flops: float) -> tuple[Recipe, ModelConfig]:
    """A size's recipe with a budget; a UserError where it has too few steps to be looked at."""
    layers, hidden = SIZES[name]
    overrides = {
        "shape.layers": str(layers), "shape.hidden": str(hidden),
        "schedule.cooldown": str(COOLDOWN),
    }  # fmt: skip
    vocabulary = Tokenizer.load(asked.tokenizer).vocab_size
    base = findings.recipe_of(overrides, 0, asked)
    config = base.resolved(vocabulary, "cpu").shape.config(vocabulary)
    cost, tokens = config.flops_per_token(base.shape.context), base.batch * base.shape.context
    steps = max(1, int(flops / cost / tokens))
    recipe = dataclasses.replace(
        findings.recipe_of(overrides, 0, dataclasses.replace(asked, positions=steps * tokens)),
        evaluate_every=max(1, steps // LOOKS),
    )
    every = recipe.evaluate_every
    first = max(every, -(-3 * recipe.schedule.warmup // every) * every)
    if first > (1 - COOLDOWN) * steps:
        raise UserError(f"{name}: {steps} steps have no look at the high rate; give more --flops")
    return recipe, config


def grown(name: str, recipe: Recipe, config: ModelConfig, asked: findings.Asked) -> Grown:
    """Train a size, unless that is done."""
    tokens = recipe.batch * recipe.shape.context
    cost = config.flops_per_token(recipe.shape.context)
    folder = findings.folder_of(recipe, asked) / "model"
    print(f"{name}: {folder}", file=sys.stderr, flush=True)
    findings.trained(recipe, folder.parent, 0)
    looks = {
        entry["step"]: Look(cost / 6, entry["step"] * tokens, entry[TEXT])
        for entry in read(folder / LOG)
        if TEXT in entry
    }
    high = [
        look
        for step, look in looks.items()
        if 3 * recipe.schedule.warmup <= step <= (1 - COOLDOWN) * max(looks)
    ]
    return Grown(name, config.parameters, high, looks[max(looks)])


def text_of(runs: Sequence[Grown], law: Law, plot: str) -> str:
    """The page's part: table, law, what it says of other budgets."""
    lines = [
        "| size | parameters | positions | PFLOP | bits per byte, rate high | after it fell |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        lines.append(
            f"| {run.name} | {run.parameters / 1e6:.2f} M | {run.last.positions / 1e6:.2f} M "
            f"| {run.last.flops / 1e15:.3f} | {run.looks[-1].bits:.4f} | {run.last.bits:.4f} |"
        )
    lines += [
        "",
        f"Bits per byte at the high rate: {law.e:.3f} + {law.a:.3g} / N^{law.alpha:.2f} + "
        f"{law.b:.3g} / D^{law.beta:.2f}, N the weights that multiply and D positions."
        + law.caveat,
        "",
        "| compute, PFLOP | best N | positions | bits per byte |", "|---|---|---|---|",
    ]  # fmt: skip
    given = max(run.last.flops for run in runs)
    for times in BUDGETS:
        best = law.best(times * given)
        lines.append(
            f"| {times * given / 1e15:,.2f} | {best.weights / 1e6:.1f} M "
            f"| {best.positions / 1e6:,.1f} M | {best.bits:.3f} |"
        )
    return "\n".join([*lines, "", f"![bits per byte over compute]({plot})"])


def drawn(runs: Sequence[Grown], law: Law, out: Path) -> list[Path]:
    """Bits per byte over compute: a line a size, the law's best dashed, the fallen rate a star."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for run in runs:
        points = [(look.flops, look.bits) for look in run.looks]
        (line,) = axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=run.name)
        axes.plot(run.last.flops, run.last.bits, "*", color=line.get_color(), markersize=11)
    every = [look.flops for run in runs for look in run.looks]
    along = np.geomspace(min(every), max(every), 50)
    axes.plot(along, [law.best(c).bits for c in along], "k--", linewidth=1, label="best, fitted")
    axes.set_xscale("log")
    axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.set_xlabel("FLOP (star: after the rate fell)")
    axes.set_ylabel("held-out bits per byte")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)
    paths = [out.with_suffix(ending) for ending in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, fit, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--tokenizer", type=Path, default=findings.TOKENIZER)
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    parser.add_argument("--flops", type=float, default=3e13, help="That each size gets.")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given")
    parser.add_argument("--page", type=Path, default=findings.ROOT / "docs/findings.md")
    given = parser.parse_args(arguments)
    names = given.sizes.split(",")
    if unknown := set(names) - SIZES.keys():
        parser.error(f"no size {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    try:
        overrides: Mapping[str, str] = settings.pairs(given.given)
        asked = findings.Asked(
            given.corpus, given.tokenizer, Path(), given.out, 1, overrides,
        )  # fmt: skip
        plans = {name: planned(name, asked, given.flops) for name in names}
        runs = [grown(name, *plan, asked) for name, plan in plans.items()]
        law = fitted([look for run in runs for look in run.looks])
        plot = drawn(runs, law, given.page.with_name("scaling"))[0]
        text = text_of(runs, law, plot.name)
        print(f"\n{text}\n")
        insert(given.page, "size", text)
    except UserError as error:
        sys.exit(f"scaling: {error}")


if __name__ == "__main__":
    main()
