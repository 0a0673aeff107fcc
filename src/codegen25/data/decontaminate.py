"""Keep evaluation problems out of training data, and tell what was found where.

Two things are looked for, by their hashes:

* **Words**: ten identifiers or numbers in a row, lower-cased, of a problem's text or solution. Of
  HumanEval's 13,658 such runs, 273 of 14,616 Python files (222 MB: the standard library and 121
  packages) have one, and none of it is text of a problem: they count (`0 1 2 3 …`, `one 1 two
  2 …`) or loop (`for i in range n for j in range n`). So a run counts only if it is telling: two
  different words of three letters or more in it are neither keywords, builtins nor numerals.
  That leaves 11,028 runs, eight or more of each problem, and none of them is in these files.
* **Functions**, as Python's parser sees them: without docstring, annotations and decorators, and
  the function, its arguments and its variables renamed in order of appearance. A copy is found
  whatever its names and layout. Functions of fewer than `LEAST_NODES` nodes do not count: in the
  same files, 88 functions are `return len(x)` or its like (11 nodes at most), and the next that
  is there is Euclid's algorithm (20 nodes, 7 times), which HumanEval/13 asks for. In what a
  grammar writes by the thousand, which may well ask for the same, all functions count.

The fingerprints of HumanEval travel with the package (8-byte hashes, from which no problem can be
read back), so a corpus is clean by default and nobody needs the data to build one.
`scripts/fingerprints.py` makes them.
"""

from __future__ import annotations

import ast
import builtins
import gzip
import json
import keyword
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from hashlib import blake2b
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25.data.documents import GENERATED, Document, Step
from codegen25.data.records.layout import RECORDS
from codegen25.data.syntax import parse
from codegen25.errors import UserError

NGRAM = 10
"""Words in a row that count as a copy."""
LEAST_NODES = 20
"""Size of a function that counts as a copy where people write; see `nodes`."""
SHIPPED = "humaneval.fingerprints.bin"
_FORMAT = "codegen25 fingerprints 4"


@dataclass(frozen=True)
class Hit:
    """What a document shares with a problem: `words` or a `function`, beginning in `line`."""

    kind: str
    problem: str
    line: int

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Fingerprints:
    """Hashes of what must not be in a corpus, each with the index of its problem in `problems`.

    `outlines` hash how a function in `functions` begins, which is quicker to compare.
    """

    problems: tuple[str, ...] = ()
    words: dict[int, int] = field(default_factory=dict)
    functions: dict[int, int] = field(default_factory=dict)
    outlines: frozenset[int] = frozenset()

    def __or__(self, other: Fingerprints) -> Fingerprints:
        """Both; where both have a hash, the problem is that of `self`."""
        first = len(self.problems)
        return Fingerprints(
            self.problems + other.problems,
            {k: v + first for k, v in other.words.items()} | self.words,
            {k: v + first for k, v in other.functions.items()} | self.functions,
            self.outlines | other.outlines,
        )

    @cached_property
    def _first_bits(self) -> NDArray[np.bool_]:
        """Which first 20 bits the words' hashes have: settles all but some of a file's at once."""
        table = np.zeros(1 << 20, dtype=np.bool_)
        table[np.fromiter(self.words, dtype=np.uint64) >> np.uint64(44)] = True
        return table

    def positions(self, hashes: NDArray[np.uint64]) -> list[int]:
        """Where in `hashes` [n] a hash of `words` is, ascending."""
        if not self.words:
            return []
        candidates = np.flatnonzero(self._first_bits[hashes >> np.uint64(44)])
        return [i for i in candidates.tolist() if int(hashes[i]) in self.words]

    def write(self, path: Path) -> None:
        """Store as a line of JSON and little-endian arrays: hashes of 8 bytes, problems of 4."""
        tables = [sorted(self.words.items()), sorted(self.functions.items())]
        header = {"format": _FORMAT, "problems": self.problems, "outlines": len(self.outlines),
                  "words": len(self.words), "functions": len(self.functions)}  # fmt: skip
        hashes = [key for table in tables for key, _ in table] + sorted(self.outlines)
        indexes = [index for table in tables for _, index in table]
        arrays = np.array(hashes, dtype="<u8").tobytes() + np.array(indexes, dtype="<u4").tobytes()
        path.write_bytes(json.dumps(header).encode() + b"\n" + arrays)

    @classmethod
    def read(cls, raw: bytes) -> Fingerprints:
        """The inverse of `write`. Raises ValueError if `raw` is something else."""
        head, _, arrays = raw.partition(b"\n")
        header = json.loads(head)
        if header["format"] != _FORMAT:
            raise ValueError(f"format {header['format']!r}")
        words, functions = header["words"], header["functions"]
        hashes = np.frombuffer(arrays, "<u8", words + functions + header["outlines"]).tolist()
        problems = np.frombuffer(arrays, "<u4", words + functions, 8 * len(hashes)).tolist()
        both = words + functions
        return cls(
            tuple(header["problems"]),
            dict(zip(hashes[:words], problems[:words], strict=True)),
            dict(zip(hashes[words:both], problems[words:], strict=True)),
            frozenset(hashes[both:]),
        )


def shipped() -> Fingerprints:
    """HumanEval's fingerprints as they come with the package."""
    return Fingerprints.read((files("codegen25.data") / SHIPPED).read_bytes())


def contaminated(fingerprints: Fingerprints) -> Step:
    """A step that drops documents that share words or a function with a problem."""
    return partial(_judge, fingerprints=fingerprints)


def _judge(document: Document, fingerprints: Fingerprints) -> Document | str:
    return "contaminated" if hits(document, fingerprints) else document


def hits(document: Document, fingerprints: Fingerprints) -> list[Hit]:
    """All that `document` shares with the problems, each function and each run of words once."""
    return [*_shared_words(document.text, fingerprints), *_shared_functions(document, fingerprints)]


# Words ------------------------------------------------------------------------------------------

_WORD = re.compile(r"[a-z_0-9]+")
_COMMON = {word.lower() for word in (*keyword.kwlist, *dir(builtins))} | {
    "self", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
}  # fmt: skip
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class _WordHashes(dict[str, int]):
    """Hashes of words as they are met, forgotten before they are too many."""

    def __missing__(self, word: str) -> int:
        if len(self) >= 500_000:
            self.clear()
        self[word] = value = _hash(word)
        return value


_word_hashes = _WordHashes()


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def ngram_hashes(words: list[str], ngram: int = NGRAM) -> NDArray[np.uint64]:
    """Hashes [n - ngram + 1] of the runs of `ngram` of n words: a polynomial of theirs, mixed."""
    count = len(words) - ngram + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    each = np.fromiter(map(_word_hashes.__getitem__, words), dtype=np.uint64, count=len(words))
    total = np.zeros(count, dtype=np.uint64)
    for i in range(ngram):
        total = total * _FACTOR + each[i : i + count]
    return (total ^ (total >> np.uint64(32))) * _FACTOR


def is_telling(words: Iterable[str]) -> bool:
    """Whether a run of words says what it is about; see the module's docstring."""
    found = {
        word for word in words if len(word) >= 3 and not word.isdigit() and word not in _COMMON
    }
    return len(found) >= 2


def _shared_words(text: str, fingerprints: Fingerprints) -> Iterator[Hit]:
    lowered = text.lower()
    positions = fingerprints.positions(hashes := ngram_hashes(_WORD.findall(lowered)))
    if not positions:
        return
    starts = [match.start() for match in _WORD.finditer(lowered)]
    previous = (-2, -1)
    for i in positions:
        problem = fingerprints.words[int(hashes[i])]
        if (i - 1, problem) != previous:
            line = lowered.count("\n", 0, starts[i]) + 1
            yield Hit("words", fingerprints.problems[problem], line)
        previous = (i, problem)


# Functions --------------------------------------------------------------------------------------

_Function = ast.FunctionDef | ast.AsyncFunctionDef
# What a copy may lack or have, and what newer Pythons add to every node.
_LEFT_OUT = {
    "decorator_list", "returns", "annotation", "type_comment", "type_params", "ctx", "kind",
}  # fmt: skip


def _shared_functions(document: Document, fingerprints: Fingerprints) -> Iterator[Hit]:
    if not fingerprints.functions:
        return
    least = 1 if document.repo.startswith(GENERATED) else LEAST_NODES
    for code, before in _python(document):
        for function in _functions(code):
            if _hash(outline(function)) in fingerprints.outlines:
                problem = fingerprints.functions.get(_hash(" ".join(normalised(function))))
                if problem is not None and nodes(function) >= least:
                    line = before + function.lineno
                    yield Hit("function", fingerprints.problems[problem], line)


def _python(document: Document) -> Iterator[tuple[str, int]]:
    """What may be Python of a document, and how many lines stand before it.

    Of a record each piece by itself: a notebook's cell, a file before and after a commit.
    """
    if document.language in ("python", ""):
        yield document.text, 0
    elif document.language in RECORDS:
        borders = sorted({0, *(position for position, _ in document.marks), len(document.text)})
        for start, end in pairwise(borders):
            piece = _MAGIC.sub("pass", document.text[start:end])
            yield piece, document.text.count("\n", 0, start)


_MAGIC = re.compile(r"^[%!?].*", re.M)
"""IPython's commands in a notebook's cells, which are no Python."""


def _functions(text: str) -> list[_Function]:
    """All functions in a file, methods and nested ones too; none if it does not parse."""
    tree = parse(text) if "def " in text else None
    if tree is None:
        return []
    found, inside = [], list[ast.AST](tree.body)
    while inside:
        node = inside.pop()
        if isinstance(node, _Function):
            found.append(node)
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):
            statements = getattr(node, block, ())
            inside += statements if isinstance(statements, list) else ()
    return sorted(found, key=lambda each: each.lineno)


def _body(function: _Function) -> list[ast.stmt]:
    """The statements of a function but its docstring."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    return function.body[1:] if has_docstring else function.body


def outline(function: _Function) -> str:
    """The number of arguments and the kinds of statements and of what they consist of.

    Equal for functions that are equal when normalised, and quick to tell from others.
    """
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    return f"{count} {' '.join(map(_kinds, _body(function)))}"


def _kinds(statement: ast.stmt) -> str:
    """The kind of a statement and of its parts, as `normalised` sees them."""
    if isinstance(statement, _Function):
        return type(statement).__name__
    parts: list[object] = []
    for key in statement._fields:
        value = getattr(statement, key, None)
        if key not in _LEFT_OUT:
            parts += value if isinstance(value, list) else [value]
    kinds = (type(each).__name__ for each in (statement, *parts) if isinstance(each, ast.AST))
    return ",".join(kinds).replace("AnnAssign", "Assign")


def normalised(function: _Function) -> list[str]:
    """A function as the kinds of its nodes and their values in order, its own names by number.

    Names that are bound outside, attributes and constants stay as they are.
    """
    numbers: dict[str, int] = {}
    own = _bound(function)

    def visit(value: object) -> Iterator[str]:
        if isinstance(value, _Function):
            yield type(value).__name__
            yield from name(value.name)
            yield from visit(value.args)
            yield from visit(_body(value))
        elif isinstance(value, ast.AnnAssign):
            yield "Assign"
            yield from visit([value.target])
            yield from visit(value.value)
        elif isinstance(value, ast.AST):
            yield type(value).__name__
            for key, child in ast.iter_fields(value):
                if key not in _LEFT_OUT:
                    yield from name(child) if key in ("id", "arg") else visit(child)
        elif isinstance(value, list):
            yield "["
            for each in value:
                yield from visit(each)
            yield "]"
        else:
            yield repr(value)

    def name(word: object) -> Iterator[str]:
        if isinstance(word, str) and word in own:
            yield f"${numbers.setdefault(word, len(numbers))}"
        else:
            yield repr(word)

    try:
        return list(visit(function))
    except RecursionError:
        return []


def _bound(function: _Function) -> set[str]:
    """Names of the function, its arguments and whatever it assigns or defines."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, _Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def nodes(function: _Function) -> int:
    """How many nodes the normalised function has: its size."""
    return sum(word[0].isalpha() for word in normalised(function))


# Problems ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """An evaluation problem: all of its text, and of that the Python."""

    name: str
    text: str
    code: str


def problems(path: Path) -> Iterator[Problem]:
    """The problems of a jsonl (.gz) with HumanEval's fields, or MBPP's (text or prompt, and code).

    Raises UserError if it is something else.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for number, line in enumerate(filter(str.strip, raw.decode().split("\n")), 1):
            row = json.loads(line)
            name = str(row.get("task_id", f"{path.name}:{number}"))
            if "code" in row and "canonical_solution" not in row:
                text = row["text"] if "text" in row else row["prompt"]
                yield Problem(name, f"{text}\n{row['code']}", row["code"])
            else:
                text = row["prompt"] + row["canonical_solution"] + row.get("suffix", "")
                yield Problem(name, text, text)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zlib.error,
    ) as error:
        raise UserError(
            f"{path}: not a jsonl file of evaluation problems ({error}); each row needs prompt and "
            "canonical_solution, or text and code"
        ) from error


def collect(paths: Iterable[Path]) -> Fingerprints:
    """The fingerprints of all problems in the files: telling runs of words, functions.

    What two problems share is the first one's.
    """
    names: list[str] = []
    words: dict[int, int] = {}
    functions: dict[int, int] = {}
    outlines: set[int] = set()
    for problem in (each for path in paths for each in problems(path)):
        for fingerprint in _telling(problem.text):
            words.setdefault(fingerprint, len(names))
        for function in _functions(problem.code):
            functions.setdefault(_hash(" ".join(normalised(function))), len(names))
            outlines.add(_hash(outline(function)))
        names.append(problem.name)
    return Fingerprints(tuple(names), words, functions, frozenset(outlines))


def _telling(text: str) -> Iterator[int]:
    words = _WORD.findall(text.lower())
    for i, fingerprint in enumerate(ngram_hashes(words).tolist()):
        if is_telling(words[i : i + NGRAM]):
            yield fingerprint
