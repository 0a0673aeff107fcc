"""What context from other files is worth to a model: bits per byte of the next line.

python benchmarks/context.py [FOLDER] [--lines N] [--budget IDS] [--model NAME]

Lines are drawn at random from the Python files of a folder, by default this repository, which no
model of ours was trained on. Each is predicted left to right and as an infill, with nothing in
front and with context in front, the window being the same: what the context takes, the file gives.
Intervals redraw files; the gain is paired, line by line.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from codegen25.evaluate.bits import bits_of
from codegen25.evaluate.statistics import Rate, clustered_ratio
from codegen25.infill import Layout, compose
from codegen25.models import DEFAULT, resolve
from codegen25.sample.context import (
    DEFINITION,
    SIMILAR,
    Repository,
    Snippet,
    Style,
    gather,
    render,
)
from codegen25.sample.context.similar import windows
from codegen25.sample.engine import Engine

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Line:
    """A line of a file, with its newline, and the text before and after."""

    path: str
    prefix: str
    text: str
    suffix: str


Arm = Callable[[Engine, Repository, Line], list[int]]


def drawn(repository: Repository, count: int, seed: int = 0) -> list[Line]:
    """Lines of some letters, not in the first ten of a file."""
    rng = random.Random(seed)
    places = [
        (path, number)
        for path, file in sorted(repository.files.items())
        if path.endswith(".py")
        for number, line in enumerate(file.text.split("\n")[:-1])
        if number >= 10 and 8 <= len(line.strip()) <= 90
    ]
    found = []
    for path, number in rng.sample(places, min(count, len(places))):
        lines = repository.files[path].text.splitlines(keepends=True)
        before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
        found.append(Line(path, before, lines[number], after))
    return found


def left_to_right(engine: Engine, context: list[int], line: Line) -> float:
    """Bits of a line after the context and as much of the prefix as then fits."""
    encode = engine.tokenizer.encode
    room = engine.context - len(context) - len(encode(line.text)) - 1
    near = engine.tokenizer.cut(line.prefix, room, keep_end=True)
    alone, whole = encode(near), encode(near + line.text)
    same = 0
    while same < len(alone) and alone[same] == whole[same]:
        same += 1
    start = len(context) + same
    return bits_of(engine, context + whole, start) - bits_of(engine, context + alone, start)


def infilled(engine: Engine, context: list[int], line: Line) -> float:
    """Bits of a line and its end as the answer to an infill prompt behind the context."""
    ids = engine.tokenizer.encode(line.text)
    prompt = compose(
        line.prefix, line.suffix, engine.tokenizer, engine.form,
        budget=engine.context - len(context) - len(ids) - 1, layout=Layout.PLAIN,
    )  # fmt: skip
    assert engine.form.span is not None
    whole = [*context, *prompt.ids, *ids, engine.form.span.end_of_middle]
    return bits_of(engine, whole, len(context) + len(prompt.ids))


def gathered(
    engine: Engine, repository: Repository, line: Line, *, budget: int,
    kinds: Sequence[str] = (), style: Style = Style.COMMENT,
) -> list[int]:  # fmt: skip
    """Context as the product makes it, or of some `kinds` only."""
    snippets = gather(repository, line.path, line.prefix, line.suffix)
    wanted = [each for each in snippets if not kinds or each.kind in kinds]
    return render(wanted, engine.tokenizer, budget, style=style)


def anything(engine: Engine, repository: Repository, line: Line, *, budget: int) -> list[int]:
    """Windows of other files at random: what any code of the repository is worth."""
    rng = random.Random(line.prefix)
    others = [path for path in repository.files if path != line.path and path.endswith(".py")]
    paths = rng.sample(others, min(8, len(others)))
    snippets = []
    for rank, path in enumerate(paths):
        if found := windows(repository.files[path].text):
            window = rng.choice(found)
            snippets.append(Snippet(path, window.text, 1 / (1 + rank), SIMILAR, window.line))
    return render(snippets, engine.tokenizer, budget)


def arms(budget: int) -> dict[str, Arm]:
    """What stands in front of the prompt, by the name in the table."""
    return {
        "nothing": lambda *_: [],
        "context": partial(gathered, budget=budget),
        "… definitions alone": partial(gathered, budget=budget, kinds=(DEFINITION,)),
        "… similar windows alone": partial(gathered, budget=budget, kinds=(SIMILAR,)),
        "… as documents, <filename> and end": partial(
            gathered, budget=budget, style=Style.FILENAME
        ),
        "windows at random": partial(anything, budget=budget),
    }


def table(engine: Engine, repository: Repository, lines: Sequence[Line], budget: int) -> None:
    """Print bits per byte and gains of every arm, and what a query costs."""
    print("| in front | ids | left to right | gain | infill | gain |")
    print("|---|---|---|---|---|---|")
    base: dict[str, list[float]] = {}
    for name, arm in arms(budget).items():
        contexts = [arm(engine, repository, line) for line in lines]
        cells = [f"{sum(map(len, contexts)) / len(lines):.0f}"]
        for way in (left_to_right, infilled):
            bits = [way(engine, ids, line) for ids, line in zip(contexts, lines, strict=True)]
            before = base.setdefault(way.__name__, bits)
            gain = [a - b for a, b in zip(before, bits, strict=True)]
            cells += [f"{_rate(lines, bits).value:.4f}", _interval(_rate(lines, gain))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _rate(lines: Sequence[Line], bits: Sequence[float]) -> Rate:
    sizes = [len(line.text.encode()) for line in lines]
    return clustered_ratio(
        [(line.path, b, n) for line, b, n in zip(lines, bits, sizes, strict=True)]
    )


def _interval(rate: Rate) -> str:
    return f"{rate.value:+.4f} [{rate.low:+.4f}, {rate.high:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default=str(ROOT))
    parser.add_argument("--lines", type=int, default=150)
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--model", default=DEFAULT)
    asked = parser.parse_args()
    start = time.perf_counter()
    repository = Repository(asked.folder)
    made = time.perf_counter() - start
    lines = drawn(repository, asked.lines)
    engine = Engine.load(resolve(asked.model))
    times = []
    for line in lines:
        start = time.perf_counter()
        ids = gathered(engine, repository, line, budget=asked.budget)
        times.append(1000 * (time.perf_counter() - start))
        assert len(ids) <= asked.budget
    median, worst = sorted(times)[len(times) // 2], max(times)
    print(f"{len(repository.files)} files indexed in {made:.2f} s; a query takes {median:.0f} ms "
          f"(median), {worst:.0f} ms (worst); torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads\n")  # fmt: skip
    table(engine, repository, lines, asked.budget)


if __name__ == "__main__":
    main()
