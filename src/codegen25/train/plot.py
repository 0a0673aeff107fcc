"""Figure 1 of CodeGen2.5: a measure over the tokens trained on, epochs marked, several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codegen25.errors import UserError
from codegen25.train.log import ANSWERS, LOG, TEXT, read

MEASURES = {
    TEXT: "held-out bits per byte",
    ANSWERS: "held-out answers, bits per byte",
    "bits_per_byte": "bits per byte, training",
    "stop_rate": "infills that stop",
    "exact_match": "held-out lines infilled exactly",
    "pass_at_1": "pass@1",
}
"""What a log holds by its names there."""


def plot(runs: Sequence[Path], out: Path, measure: str = "") -> list[Path]:
    """Draw the runs' logs; the files written, PNG and SVG, come back.

    `measure` is a key of the logs; by default the first of `MEASURES` that all of them
    have. `out` names the files without their ending.
    """
    logs = {run: read(run / LOG) for run in runs}
    wanted = measure or next(
        (name for name in MEASURES if all(points_of(log, name) for log in logs.values())), ""
    )
    for run, log in logs.items():
        if not points_of(log, wanted):
            known = sorted({key for entry in log for key in entry})
            raise UserError(f"{run / LOG} has no {wanted or 'measure'}; it has {', '.join(known)}")
    return _draw(logs, wanted, out)


def points_of(log: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """A measure over the tokens trained on."""
    return sorted((entry["tokens"], entry[name]) for entry in log if name in entry)


def epochs_of(log: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """Each whole epoch and the tokens at its end."""
    found: list[tuple[int, float]] = []
    for entry in log:
        if "epoch" in entry and entry["epoch"] >= len(found) + 1:
            found.append((len(found) + 1, entry["tokens"]))
    return found


def smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Many noisy points as the means of at most 200 stretches."""
    size = -(-len(points) // 200)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _draw(logs: dict[Path, list[dict[str, Any]]], measure: str, out: Path) -> list[Path]:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UserError("--plot needs matplotlib; pip install 'codegen25[train]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for run, log in logs.items():
        points = smoothed(points_of(log, measure))
        (line,) = axes.plot(*zip(*points, strict=True), label=run.name, linewidth=1.6)
        few = len(points) <= 40
        line.set_marker("o" if few else "")
        line.set_markersize(3.5)
        for epoch, tokens in epochs_of(log):
            axes.axvline(tokens, color=line.get_color(), linewidth=0.6, linestyle=":")
            top = axes.get_xaxis_transform()
            axes.text(tokens, 1.01, str(epoch), transform=top, ha="center", fontsize=7,
                      color=line.get_color())  # fmt: skip
    axes.set_xlabel("tokens trained on (dotted: epochs)")
    axes.set_ylabel(MEASURES.get(measure, measure))
    axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    written = [out.with_name(f"{out.name}.{ending}") for ending in ("png", "svg")]
    out.parent.mkdir(parents=True, exist_ok=True)
    for path in written:
        staging = path.with_name(f".{path.name}")
        figure.savefig(staging, format=path.suffix[1:], dpi=160, metadata={"Date": None}
                       if path.suffix == ".svg" else None)  # fmt: skip
        staging.replace(path)
    plt.close(figure)
    return written


def short_count(tokens: float) -> str:
    """12,500,000 as "12.5 M"."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:g} {unit}"
    return f"{tokens:g}"
