from __future__ import annotations

import ast
import gzip
import json
import pickle
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data import decontaminate
from codegen25.data.decontaminate import Fingerprints, Hit, collect, contaminated, hits
from codegen25.data.documents import GENERATED, Document
from codegen25.data.records.layout import lay_out
from codegen25.data.records.notebooks import notebook
from codegen25.errors import UserError

PROMPT = '''from typing import List


def rolling_peak(readings: List[int]) -> List[int]:
    """ From a given list of readings, generate a list with the highest
    reading found until the given moment in the sequence.
    >>> rolling_peak([1, 2, 3, 2, 3, 4, 2])
    [1, 2, 3, 3, 3, 4, 4]
    """
'''
SOLUTION = """    peak = None
    result = []
    for reading in readings:
        if peak is None:
            peak = reading
        else:
            peak = max(peak, reading)
        result.append(peak)
    return result
"""
ROWS = [
    {"task_id": "Made/7", "prompt": PROMPT, "canonical_solution": SOLUTION},
    {
        "task_id": "Made/8",
        "prompt": "def size(text):\n",
        "canonical_solution": "  return len(text)\n",
    },
]
BODY = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(10))
MBPP = {
    "task_id": 11,
    "text": "Write a python function to remove the first and last occurrence of a given character.",
    "code": "def remove(s, ch):\n    for i in range(len(s)):\n        if s[i] == ch:\n"
    "            s = s[0 : i] + s[i + 1:]\n            break\n    return s\n",
}


def written(folder: Path, *rows: dict[str, object], name: str = "problems.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def fingerprints(tmp_path_factory: pytest.TempPathFactory) -> Fingerprints:
    return collect([written(tmp_path_factory.mktemp("problems"), *ROWS)])


def document(text: str, language: str = "python") -> Document:
    return Document(text, "mod.py", "pkg", "MIT", language)


RENAMED = SOLUTION.replace("peak", "best").replace("readings", "xs").replace("reading", "x")
METHOD = "class A:\n" + textwrap.indent(f"@staticmethod\ndef f(xs):\n{RENAMED}", "    ")


@pytest.mark.parametrize(
    ("planted", "kinds"),
    [
        (PROMPT + SOLUTION, {"words", "function"}),
        (f"def best_so_far(xs):\n{RENAMED}", {"function"}),
        (f"def best_so_far(xs: list[float] = ()) -> list:\n{RENAMED}", set()),
        (f"def best_so_far(xs: list[float]) -> list:\n    'New text.'\n{RENAMED}", {"function"}),
        (METHOD, {"function"}),
        (f"def outer():\n    if True:\n        def f(xs):\n{textwrap.indent(RENAMED, '        ')}",
         {"function"}),
        (ast.unparse(ast.parse(PROMPT + SOLUTION)), {"words", "function"}),
        ((PROMPT + SOLUTION).replace("\n    ", "\n  ").replace(" = ", "="), {"words", "function"}),
        ("# Generate a list with the HIGHEST reading\n# found until given.\n", set()),
        ("# Generate a list, with the HIGHEST reading -\n#\n# found until the given\n", {"words"}),
        ("def rolling_peak(signal, window):\n    return [signal[i] for i in window]\n", set()),
        ("def size(text):\n    return len(text)\n", set()),
        (f"def best(xs, ys):\n{RENAMED}", set()),
        (f"def best(xs):\n{RENAMED.replace('max', 'min')}", set()),
    ],
)  # fmt: skip
def test_what_is_planted_is_found(
    planted: str, kinds: set[str], fingerprints: Fingerprints
) -> None:
    planted_at = document(BODY + planted)
    found = hits(planted_at, fingerprints)
    assert {hit.kind for hit in found} == kinds
    assert {hit.problem for hit in found} <= {"Made/7"}
    first = BODY.count("\n") + 1
    assert all(first <= hit.line <= first + planted.count("\n") for hit in found)
    assert contaminated(fingerprints)(planted_at) == ("contaminated" if kinds else planted_at)


def test_a_hit_tells_problem_and_line(fingerprints: Fingerprints) -> None:
    found = hits(document("\n\n" + PROMPT + SOLUTION), fingerprints)
    assert Hit("function", "Made/7", 6) in found
    words = [hit for hit in found if hit.kind == "words"]
    assert words[0].line == 3 and words[0].as_json()["problem"] == "Made/7"
    assert len(words) <= 3


def test_text_that_is_no_python_is_searched_for_words(fingerprints: Fingerprints) -> None:
    assert {hit.kind for hit in hits(document(PROMPT + SOLUTION, "markdown"), fingerprints)} == {
        "words"
    }
    assert hits(document("def f(:\n" + PROMPT, "python"), fingerprints)
    assert hits(document("", "python"), fingerprints) == []


def test_code_inside_a_record_is_searched_piece_by_piece(fingerprints: Fingerprints) -> None:
    function = f"def best_so_far(xs):\n{RENAMED}"
    cells = [
        ("markdown", "Some text, which is no Python (and has no end"),
        ("code", "%matplotlib inline\n!pip list\n" + function),
    ]
    made = notebook(
        json.dumps(
            {
                "cells": [
                    {"cell_type": kind, "source": text, "outputs": []} for kind, text in cells
                ],
                "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        ),
        repo="r",
        path="n.ipynb",
    )
    assert isinstance(made, Document)
    found = hits(made, fingerprints)
    assert [hit.kind for hit in found] == ["function"]
    assert made.text.split("\n")[found[0].line - 1] == "def best_so_far(xs):"
    text, marks = lay_out([("<commit_before>", "x = 1\n"), ("<commit_after>", function)])
    record = Document(text, "c", "r", language="commits", marks=marks)
    assert [hit.kind for hit in hits(record, fingerprints)] == ["function"]


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        ("0 1 2 3 4 5 6 7 8 9", False),
        ("one 1 two 2 three 3 four 4 five 5", False),
        ("for i in range n for j in range n", False),
        ("def f self x y return self x y len", False),
        ("def peak self x peak return peak x y len", False),
        ("generate a list with the highest i j k l", True),
    ],
)
def test_only_telling_words_count(words: str, telling: bool) -> None:
    assert len(words.split()) == 10
    assert decontaminate.is_telling(words.split()) is telling


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(1, 12))
def test_equal_runs_of_words_and_only_those_have_equal_hashes(words: list[str], n: int) -> None:
    hashes = decontaminate.ngram_hashes(words, n).tolist()
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    assert len(hashes) == len(runs)
    assert len(set(hashes)) == len(set(runs)) == len(set(zip(hashes, runs, strict=True)))


@given(st.permutations(["readings", "peak", "result", "reading"]))
def test_names_do_not_matter_but_their_pattern_does(names: list[str]) -> None:
    def shape(source: str) -> list[str]:
        (function,) = [x for x in ast.parse(source).body if isinstance(x, ast.FunctionDef)]
        return decontaminate.normalised(function)

    source = "def f(readings):\n" + SOLUTION
    swapped = source
    for i, name in enumerate(["readings", "peak", "result", "reading"]):
        swapped = swapped.replace(name, f"@{i}")
    for i, name in enumerate(names):
        swapped = swapped.replace(f"@{i}", name)
    assert shape(swapped) == shape(source)
    assert shape(source.replace("(peak, reading)", "(reading, peak)")) != shape(source)


def test_fingerprints_are_joined_written_and_sent(tmp_path: Path) -> None:
    first = collect([written(tmp_path, *ROWS)])
    second = collect([written(tmp_path, MBPP, ROWS[0], name="more.jsonl")])
    both = first | second
    assert both.problems == ("Made/7", "Made/8", "11", "Made/7")
    assert {hit.problem for hit in hits(document(MBPP["code"]), both)} == {"11"}  # type: ignore[arg-type]
    assert {hit.problem for hit in hits(document(PROMPT + SOLUTION), both)} == {"Made/7"}
    assert both | Fingerprints() == Fingerprints() | both == both
    both.write(tmp_path / "both.bin")
    assert Fingerprints.read((tmp_path / "both.bin").read_bytes()) == both
    step: Callable[[Document], object] = pickle.loads(pickle.dumps(contaminated(both)))
    assert step(document(PROMPT)) == "contaminated"
    with pytest.raises(ValueError, match="format"):
        Fingerprints.read(b'{"format": "x"}\n')


def test_compressed_files_are_read(tmp_path: Path) -> None:
    plain = written(tmp_path, *ROWS)
    packed = tmp_path / "problems.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert collect([packed]) == collect([plain])


@pytest.mark.parametrize("text", ['{"a": 1}\n', "no json\n", "[1]\n", '{"prompt": 1}\n'])
def test_a_file_that_holds_no_problems_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.jsonl"):
        collect([path])
    with pytest.raises(UserError, match="missing"):
        collect([tmp_path / "missing.jsonl"])
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"x\.jsonl\.gz"):
        collect([tmp_path / "x.jsonl.gz"])


def test_the_shipped_fingerprints_find_nothing_in_our_own_source(source_texts: list[str]) -> None:
    marks = decontaminate.shipped()
    assert len(marks.problems) == 164
    assert [hits(document(text), marks) for text in source_texts] == [[]] * len(source_texts)


def test_the_shipped_fingerprints_are_humanevals(humaneval: Path) -> None:
    assert decontaminate.shipped() == collect([humaneval / "HumanEval.jsonl.gz"])


def test_humaneval_is_refused_by_the_shipped_fingerprints(humaneval: Path) -> None:
    marks = decontaminate.shipped()
    found = 0
    for problem in decontaminate.problems(humaneval / "HumanEval.jsonl.gz"):
        assert hits(document(problem.text), marks), problem.name
        # A reader who kept the task but wrote no docstring, and other names.
        bare = ast.unparse(_anonymous(ast.parse(problem.code)))
        found += any(hit.kind == "function" for hit in hits(document(bare), marks))
    assert found >= 140


class _Anonymous(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        node.name, node.returns = "solve", None
        return node


def _anonymous(tree: ast.Module) -> ast.Module:
    changed = _Anonymous().visit(tree)
    assert isinstance(changed, ast.Module)
    return changed


def test_many_words_are_searched_at_once(fingerprints: Fingerprints) -> None:
    hashes = np.arange(1000, dtype=np.uint64) << np.uint64(44)
    hashes[500] = next(iter(fingerprints.words))
    assert fingerprints.positions(hashes) == [500]
    assert Fingerprints().positions(hashes) == []


def test_small_functions_count_where_a_grammar_writes(fingerprints: Fingerprints) -> None:
    text = "def length(s):\n    '''How long it is.'''\n    return len(s)\n"
    assert not hits(document(text), fingerprints)
    (hit,) = hits(replace(document(text), repo=f"{GENERATED}0-0001"), fingerprints)
    assert (hit.kind, hit.problem, hit.line) == ("function", "Made/8", 1)
