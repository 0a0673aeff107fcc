"""What a model consists of and how it came about, as parts of its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25.directory import Directory
from codegen25.evaluate.report import plain
from codegen25.evaluate.report.tables import Row, Table
from codegen25.train.lineage import Stage
from codegen25.train.log import ANSWERS, TEXT
from codegen25.train.mining import named
from codegen25.weights import Weights, weight_files

MOST_LICENCES = 8


def shape(directory: Directory, folder: Path) -> str:
    """The model's size, vocabulary, format and weights."""
    config, size = directory.config, sum(path.stat().st_size for path in weight_files(folder))
    kinds = Weights(folder, config).dtypes
    rows = (
        ("parameters", f"{config.parameters / 1e6:,.2f} million"),
        (
            "shape",
            f"LLaMA: {config.num_hidden_layers} layers, {config.hidden_size} wide, "
            f"{config.num_attention_heads} heads, feed-forward {config.intermediate_size:,}, "
            f"context {config.max_position_embeddings:,}",
        ),
        ("vocabulary", f"{config.vocab_size:,} ids, byte-level BPE"),
        ("weights", f"{', '.join(kinds)}, {size / 1e6:.1f} MB"),
        ("format", "prefix <mask_1> suffix <|endoftext|> <sep> <mask_1>, answered by middle <eom>"),
    )
    return _table(("", ""), rows)


def data(runs: Sequence[Stage]) -> str:
    """The corpora of the stages, with what was left out of them for the evaluation's sake."""
    rows = []
    for number, run in enumerate(runs, 1):
        pairs = str(run.recipe["pairs"])
        report = None if pairs and not named(pairs) else run.corpus()
        name = _corpus_name(run, report)
        if report is None:
            rows.append((str(number), name, *[""] * 5))
            continue
        train, heldout = (report["splits"][split] for split in ("train", "heldout"))
        rows.append((
            str(number), name, _megabytes(train["bytes"]), f"{train['documents']:,}",
            _megabytes(heldout["bytes"]), _licences(report), f"{len(report['contamination']):,}",
        ))  # fmt: skip
    heads = (
        "stage", "corpus", "MB", "documents", "MB held out", "licences, by sources",
        "dropped for text of an evaluation",
    )  # fmt: skip
    return f"## Data\n\n{_table(heads, rows)}"


def training(runs: Sequence[Stage]) -> str:
    """The stages, what each took, and their sums."""
    rows = []
    for number, run in enumerate(runs, 1):
        recipe = run.recipe
        rows.append((
            str(number), str(recipe["name"] or run.folder.name), _objective(recipe),
            f"{run.facts['step']:,} of {recipe['batch']} rows", f"{recipe['shape']['context']:,}",
            _millions(run.positions), f"{run.facts['epochs']:.2f}",
            f"{run.facts['flops']:.2e}", _hours(run.facts["seconds"]),
        ))  # fmt: skip
    rows.append((
        "", "together", "", "", "", _millions(sum(run.positions for run in runs)), "",
        f"{sum(run.facts['flops'] for run in runs):.2e}",
        _hours(sum(run.facts["seconds"] for run in runs)),
    ))  # fmt: skip
    heads = (
        "stage", "recipe", "objective", "steps", "context", "positions", "epochs", "FLOP", "hours",
    )  # fmt: skip
    begun = str(runs[0].recipe["init"])
    note = (f"Stage 1 began with the weights of {Path(begun).name}. " if begun else "") + (
        "Positions are those computed on, padding included. Hours are the clock's, whatever else "
        "the machine did meanwhile."
    )
    return f"## Training\n\n{_table(heads, rows)}\n\n{note}"


def curve(runs: Sequence[Stage]) -> str:
    """What was held out as training went on, stage by stage."""
    names = {TEXT: "bits per byte", ANSWERS: "bits per byte of answers"}
    measured = {
        name: said
        for name, said in names.items()
        if any(name in look for run in runs for look in run.looks)
    }
    rows = [
        (
            str(number), f"{look['step']:,}", _millions(look["tokens"]),
            *(f"{look[name]:.3f}" if name in look else "" for name in measured),
            _percent(look.get("stop_rate")), _percent(look.get("exact_match")),
        )
        for number, run in enumerate(runs, 1)
        for look in run.looks
    ]  # fmt: skip
    if not rows:
        return "## Curve\n\nNothing that is held out was looked at on the way."
    heads = (
        "stage", "step", "tokens", *measured.values(), "infills that stop", "exact lines",
    )  # fmt: skip
    note = (
        "Of what is held out of the stage's own corpus, in rows of its own context: figures of "
        "stages that differ in these can't be compared."
    )
    return f"## Curve\n\n{_table(heads, rows)}\n\n{note}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return plain.table(Table("", tuple(heads), tuple(Row(tuple(row)) for row in rows))).strip()


def _corpus_name(run: Stage, report: Mapping[str, Any] | None) -> str:
    pairs = str(run.recipe["pairs"])
    if pairs and not named(pairs):
        return f"{Path(pairs).name}, {run.facts.get('data_sha256', {}).get('pairs', '')[:12]}"
    called = report["recipe"].get("name") if report else ""
    return f"{called or Path(run.recipe['corpus']).name}, {run.facts['corpus_sha256'][:12]}"


def _licences(report: Mapping[str, Any]) -> str:
    found = Counter(str(repo["license"]) for repo in report["repos"].values())
    said = [f"{name} {count}" for name, count in found.most_common(MOST_LICENCES)]
    rest = len(found) - len(said)
    return ", ".join(said) + (f" and {rest} others" if rest else "")


def _objective(recipe: Mapping[str, Any]) -> str:
    if recipe["pairs"]:
        return "answers to instructions"
    kind, rate = recipe["objective"]["kind"], recipe["corruption"]["rate"]
    if kind != "infill":
        return str(kind)
    weight = recipe["objective"]["answer_weight"]
    return f"spans of {100 * rate:g} %" + (f", answers weigh {weight:g}" if weight != 1 else "")


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.2f}"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f} M"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
