"""Train the quality model that travels with the package, and say how well it does.

    python scripts/quality.py [SITE-PACKAGES …] [--out FILE] [--seed N]

Good: Python files of the standard library and of the packages in the folders given, without tests,
that the filters keep. Bad, made from or found beside them: see `MAKERS` and `data_like`. Whole
packages are held out; the area under the curve is theirs.
"""

from __future__ import annotations

import argparse
import ast
import io
import random
import sysconfig
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np

from codegen25.data import filters, quality
from codegen25.data.documents import Document
from codegen25.data.filters import Filters
from codegen25.data.syntax import parse

PER_PACKAGE, CHARACTERS = 60, (1_000, 60_000)
HELD_OUT = 0.25


_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class _Short(ast.NodeTransformer):
    """Names of arguments and variables become letters; docstrings and annotations go."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _short(self, name: str) -> str:
        if name.startswith("__"):
            return name
        number = len(self.names)
        letters = chr(97 + number % 26) + (str(number // 26) if number >= 26 else "")
        return self.names.setdefault(name, letters)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Store) or node.id in self.names:
            node.id = self._short(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._short(node.arg), None
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, _Documented):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
        return super().generic_visit(node)


def minified(text: str, draw: random.Random) -> str:
    """As a minifier leaves it: short names, one space of indent, no comments and empty lines."""
    source = ast.unparse(_Short().visit(ast.parse(text)))
    lines = [line for line in source.split("\n") if line.strip()]
    return "\n".join(
        " " * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in lines
    )


def shuffled(text: str, draw: random.Random) -> str:
    """Its tokens in random order, as many a line as before."""
    kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP, tokenize.COMMENT)
    by_line: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            by_line[token.start[0]].append(token.string)
    tokens = [token for line in by_line.values() for token in line]
    draw.shuffle(tokens)
    source, lines = iter(tokens), text.split("\n")
    made = []
    for number in range(1, len(lines) + 1):
        line = lines[number - 1]
        indent = line[: len(line) - len(line.lstrip())]
        made.append(indent + " ".join(next(source) for _ in by_line[number]))
    return "\n".join(made)


MAKERS = {"minified": minified, "shuffled": shuffled}


def data_like(text: str) -> bool:
    """Whether more than 0.7 of a module is the literals that it assigns."""
    literal = 0
    for node in ast.parse(text).body:
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
            value, ast.Dict | ast.List | ast.Tuple | ast.Set | ast.Constant
        ):
            literal += len(ast.get_source_segment(text, node) or "")
    return literal > 0.7 * len(text)


def modules(folders: list[Path]) -> Iterator[tuple[str, Path, str]]:
    """(package, file, text) of all Python files, in an order that is random but fixed."""
    library = Path(sysconfig.get_path("stdlib"))
    for root in [library, *folders]:
        for path in sorted(root.rglob("*.py"), key=lambda each: _draw(each.relative_to(root))):
            if "site-packages" in path.relative_to(root).parts:
                continue
            try:
                text = path.read_text()
            except (OSError, ValueError):
                continue
            if CHARACTERS[0] <= len(text) <= CHARACTERS[1]:
                part = path.relative_to(root).parts[0].removesuffix(".py")
                yield f"{root.name}/{part}", path, text


def _draw(name: object) -> str:
    return sha256(str(name).encode()).hexdigest()


def samples(folders: list[Path], seed: int) -> Iterator[tuple[str, str, str]]:
    """(package, kind, text) of good files and of bad ones."""
    draw = random.Random(seed)
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for package, path, text in modules(folders):
        kind = _kind(path, text)
        if not kind or taken[package, kind] >= PER_PACKAGE:
            continue
        taken[package, kind] += 1
        yield package, kind, text
        if kind == "good" and (name := draw.choice([*MAKERS, "", ""])):
            with suppress(SyntaxError, tokenize.TokenError, RecursionError, ValueError):
                yield package, name, MAKERS[name](text, draw)


def _kind(path: Path, text: str) -> str:
    document = Document(text, path.name, "", "MIT", "python")
    if not parse(text) or {"test", "tests", "idle_test"} & set(path.parts):
        return ""
    if data_like(text) or filters.generated(document):
        return "generated or data"
    limits = Filters(tests=False, unknown_license=True)
    kept = all(not isinstance(step(document), str) for _, step in limits.steps())
    return "good" if kept else ""


def area(good: np.ndarray, bad: np.ndarray) -> float:
    """Chance that a good one scores above a bad one."""
    ranks = np.concatenate([good, bad]).argsort().argsort() + 1
    return float(
        (ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    own = Path(str(files("codegen25.data") / quality.SHIPPED))
    parser.add_argument("--out", type=Path, default=own)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: dict[tuple[bool, str], list[np.ndarray]] = defaultdict(list)
    packages: dict[bool, set[str]] = {True: set(), False: set()}
    for package, kind, text in samples(arguments.folders, arguments.seed):
        held = int(_draw(package)[:4], 16) < HELD_OUT * 0x10000
        packages[held].add(package)
        rows[held, kind].append(quality.features(text))
    bad = sorted({kind for _, kind in rows} - {"good"})
    model = quality.fit(rows[False, "good"], [row for kind in bad for row in rows[False, kind]])
    model.save(arguments.out)
    model = quality.Model.load(arguments.out)
    print(f"{len(packages[False])} packages to train on, {len(packages[True])} held out")
    good = model.scores(np.array(rows[True, "good"]))
    all_bad = model.scores(np.array([row for kind in bad for row in rows[True, kind]]))
    print(f"good: {len(rows[False, 'good'])} to train on, {len(good)} held out")
    print(f"all bad: area under the curve {area(good, all_bad):.3f}")
    for kind in bad:
        found = model.scores(np.array(rows[True, kind]))
        print(f"{kind}: {len(rows[False, kind])} + {len(found)} held out, {area(good, found):.3f}")
    for share in (0.01, 0.05, 0.1):
        threshold = float(np.quantile(good, share))
        print(
            f"{share:.0%} of good below {threshold:.3f}, {np.mean(all_bad < threshold):.0%} of bad"
        )
    for weight, name in sorted(zip(model.weights, model.names, strict=True)):
        print(f"{weight:8.2f}  {name}")


if __name__ == "__main__":
    main()
