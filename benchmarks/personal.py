"""What a personal model gains on code that the shipped one never saw, and how long it takes.

python benchmarks/personal.py FOLDER [--out runs/personal] [--limit N] [--set KEY=VALUE …]

The Python files below FOLDER are split by hash: to three quarters the shipped model is adapted, by
`codegen25 train personal`; of the rest bits per byte are measured before and after, and some of
them are typed once more. The user's own personal model stays what it is. What was done is not done
again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from codegen25 import settings
from codegen25.config import read_json
from codegen25.errors import UserError
from codegen25.evaluate.bits import bits_of
from codegen25.evaluate.journal import write_json
from codegen25.models import CACHE_VARIABLE, PERSONAL, resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.train import recipe as recipes
from codegen25.train.command import NOWHERE

MEASURED = 64
"""Of 256, how many files are measured instead of learned from."""
TYPED = 24
WAYS = ("--accept", "words")
"""How many of them are typed again, and how."""
SHARES = {"saved": "keys saved", "completed": "written by completion"}
COUNTS = {"shown": "suggestions shown", "accepted": "accepted", "wrong": "wrong shows"}


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """The Python files of a folder to adapt to and to measure; a UserError if one part is empty."""
    files = sorted(path for path in folder.rglob("*.py") if path.stat().st_size)
    names = {path: path.relative_to(folder).as_posix() for path in files}
    measured = [path for path in files if sha256(names[path].encode()).digest()[0] < MEASURED]
    adapted = sorted(set(files) - set(measured))
    if not measured or not adapted:
        raise UserError(f"{folder}: {len(files)} Python files are too few to be split")
    return adapted, measured


def _drawn(name: str) -> bytes:
    return sha256(name.encode()).digest()


def _sum(path: Path) -> str:
    try:
        return sha256(path.read_text(encoding="utf-8").encode()).hexdigest()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no UTF-8 text (byte {error.start})") from error


def copied(files: Sequence[Path], folder: Path, to: Path) -> Path:
    """The files in a folder of their own, which takes the place of what stood there."""
    shutil.rmtree(to, ignore_errors=True)
    for path in files:
        place = to / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return to


def adapted(source: Path, out: Path, overrides: Sequence[str]) -> tuple[Path, float]:
    """The model adapted to the files of a folder, and the minutes it took."""
    done = out / "minutes.json"
    environment = os.environ | {CACHE_VARIABLE: str(out / "cache")}
    if not done.exists():
        shutil.rmtree(out / "cache", ignore_errors=True)
        begun = time.monotonic()
        changed = [part for each in overrides for part in ("--set", each)]
        _run(["train", "personal", "--data", str(source), *changed], environment)
        write_json(done, {"minutes": (time.monotonic() - begun) / 60})
    return out / "cache" / PERSONAL, read_json(done)["minutes"]


def measured(model: Path, files: Path, out: Path, limit: int | None) -> dict[str, Any]:
    """Bits per byte of the files left to right, and what typing them again says."""
    scores = out / "scores.json"
    if not scores.exists():
        more = [] if limit is None else ["--limit", str(limit)]
        there = {path.relative_to(files).as_posix(): path for path in files.rglob("*.py")}
        again = [str(there[name]) for name in sorted(there, key=_drawn)[:TYPED]]
        out_of = ["--model", str(model), "--out", str(out)]
        _run(["eval", "typing", *again, *WAYS, *out_of, *more])
    engine = Engine.load(model, Settings("cpu", "float32"))
    parts = [part for path in sorted(files.rglob("*.py")) for part in bits(engine, path)]
    per_byte = sum(each for each, _ in parts) / sum(size for _, size in parts)
    return {"bits": per_byte, **read_json(scores)["metrics"]}


def bits(engine: Engine, path: Path) -> Iterator[tuple[float, int]]:
    """Bits and bytes of a file, context after context; the first token of each is given."""
    ids = engine.tokenizer.encode(path.read_text(encoding="utf-8"))
    for start in range(0, len(ids) - 1, engine.context):
        part = ids[start : start + engine.context]
        if len(part) > 1:
            yield bits_of(engine, part, 1), len(engine.tokenizer.decode(part[1:]).encode())


def table(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Both beside each other as Markdown."""
    rows = [("bits per byte", *(f"{each['bits']:.3f}" for each in (before, after)))]
    rows += [(name, _share(before[key]), _share(after[key])) for key, name in SHARES.items()]
    rows += [
        (name, *(f"{each[key]['value']:,.0f}" for each in (before, after)))
        for key, name in COUNTS.items()
    ]
    lines = ["| | shipped | adapted |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _share(found: Mapping[str, float]) -> str:
    said = f"{100 * found['value']:.2f} %"
    return said + (
        f" [{100 * found['low']:.2f}, {100 * found['high']:.2f}]" if "low" in found else ""
    )


def _run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "codegen25", *arguments]
    done = subprocess.run(command, stdout=sys.stderr, env=environment)
    if done.returncode:
        sys.exit(f"personal: {' '.join(arguments[:2])} ended with exit code {done.returncode}")


def main(given: Sequence[str] | None = None) -> None:
    """Split, measure, adapt, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/personal"))
    parser.add_argument("--limit", type=int, help="The most requests a file may make.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given")
    asked = parser.parse_args(given)
    try:
        learned, rest = split(asked.folder)
        note = asked.out / "asked.json"
        wanted = [
            str(asked.folder.resolve()),
            asked.limit,
            TYPED,
            *WAYS,
            *asked.given,
            *map(_sum, learned + rest),
        ]
        if note.exists() and json.loads(note.read_text()) != wanted:
            raise UserError(f"{asked.out} holds another run; give another --out")
        recipe = recipes.load(recipes.find(PERSONAL), NOWHERE | settings.pairs(asked.given))
        source = copied(learned, asked.folder, asked.out / "learned" / asked.folder.resolve().name)
        files = copied(rest, asked.folder, asked.out / "measured")
        write_json(note, wanted)
        model, minutes = adapted(source, asked.out, asked.given)
        before, after = (
            measured(each, files, asked.out / name, asked.limit)
            for each, name in ((resolve(recipe.init), "before"), (model, "after"))
        )
    except UserError as error:
        sys.exit(f"personal: {error}")
    kilobytes = [sum(path.stat().st_size for path in part) / 1e3 for part in (learned, rest)]
    print(
        f"Adapted to {len(learned)} files ({kilobytes[0]:,.0f} kB) in {minutes:.1f} minutes; "
        f"measured on {len(rest)} other files of the same repository ({kilobytes[1]:,.0f} kB), "
        f"{min(TYPED, len(rest))} of them typed again.\n\n"
        f"{table(before, after)}"
    )


if __name__ == "__main__":
    main()
