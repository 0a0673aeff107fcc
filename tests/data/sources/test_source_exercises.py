from __future__ import annotations

import ast
import doctest
import inspect
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from source_helpers import read

from codegen25.data import pipeline
from codegen25.data.decontaminate import normalised
from codegen25.data.dedup import near_duplicates
from codegen25.data.engines import Local
from codegen25.data.minhash import signatures
from codegen25.data.recipe import DataRecipe, load
from codegen25.data.shards import TextShard
from codegen25.data.sources import Exercises, from_table
from codegen25.data.sources.exercises import ExercisesTask
from codegen25.data.sources.exercises.draft import Draft, parse
from codegen25.data.sources.exercises.generate import BLOCKS, FAMILIES, exercise
from codegen25.data.sources.exercises.inputs import sample
from codegen25.data.sources.exercises.literal import imports
from codegen25.data.sources.exercises.naming import names, put
from codegen25.data.sources.exercises.render import compiled, plain
from codegen25.errors import UserError
from codegen25.train.mining import of_text
from conftest import ROOT


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """The functions and classes of 3,000 exercises."""
    return [exercise(7, i).code for i in range(3000)]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    found, _ = read(Exercises(900, 3), tmp_path_factory.mktemp("cache"))
    return [document.text for document in found.values()]


def functions(text: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def results(draft: Draft, body: str, inputs: list[list[Any]]) -> list[str]:
    """What the function of one body gives, with its type; and that it leaves its inputs alone."""
    template = body.replace("#? ", "# ")
    chosen = names(template, [param.slot for param in draft.params], "example", Random(0))
    function = compiled(plain(draft, chosen, put(template, chosen)), "example")
    found = []
    for arguments in inputs:
        before = repr(arguments)
        try:
            found.append(repr(function(*arguments)))
        except ValueError as error:
            found.append(type(error).__name__)
        assert repr(arguments) == before, body
    return found


def assert_bodies_agree(draft: Draft, seed: int) -> None:
    rng = Random(seed)
    inputs = [[sample(param, rng) for param in draft.params] for _ in range(6)]
    first, *others = draft.bodies
    expected = results(draft, first, inputs)
    assert set(expected) != {"ValueError"}
    for other in others:
        assert results(draft, other, inputs) == expected, (inputs, first, other)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split(",")[0])
def test_the_bodies_of_an_operation_do_the_same(block: str) -> None:
    for seed in range(4):
        draft = parse(block, Random(seed))
        assert draft.says and draft.bodies and draft.names
        assert_bodies_agree(draft, seed)


@given(seed=st.integers(0, 10**9))
@example(seed=414)  # a transform behind a source that maps
@example(seed=1418)  # a dictionary's keys, counted
@settings(max_examples=150, deadline=None)
def test_the_bodies_of_a_combination_do_the_same(seed: int) -> None:
    rng = Random(seed)
    for _, family in FAMILIES[1:]:
        assert_bodies_agree(family(rng), seed)


@given(seed=st.integers(0, 2**40), i=st.integers(0, 10**7))
@settings(max_examples=100, deadline=None)
def test_an_exercise_is_a_function_of_seed_and_number(seed: int, i: int) -> None:
    made = exercise(seed, i)
    assert made == exercise(seed, i)
    [node] = ast.parse(made.code).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == made.name
    assert ast.get_docstring(node)
    assert "$" not in made.code and "~" not in made.code and "@" not in made.code
    assert max(map(len, made.code.split("\n"))) <= 120


def test_everything_that_is_named_is_there(modules: list[str]) -> None:
    """The modules run, their tests and assertions too, and use what they import."""
    for text in modules:
        namespace: dict[str, Any] = {"__name__": "exercises"}
        exec(text, namespace)
        for name, value in namespace.items():
            if name.startswith("test_") and inspect.isfunction(value):
                value()
    assert sum("assert" in text for text in modules) > len(modules) / 20


def test_examples_in_docstrings_are_true(modules: list[str]) -> None:
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(verbose=False)
    shown = 0
    for text in modules[:300]:
        namespace: dict[str, Any] = {"__name__": "exercises"}
        exec(text, namespace)
        for value in list(namespace.values()):
            if getattr(value, "__module__", "") == "exercises":
                for case in finder.find(value, value.__name__, module=False, globs=namespace):
                    shown += bool(case.examples)
                    runner.run(case)
    assert not runner.failures and shown > 200


def test_modules_are_formatted_and_import_what_they_use(modules: list[str], tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=Path(sys.executable).parent) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    for number, text in enumerate(modules):
        (tmp_path / f"m{number}.py").write_text(text)
    lint = [ruff, "check", "--isolated", "--select", "F,I", "--output-format", "concise", "."]
    done = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[:1000]
    layout = [ruff, "format", "--isolated", "--diff", "."]
    done = subprocess.run(layout, cwd=tmp_path, capture_output=True, text=True, check=False)
    changed = done.stdout.count("\n--- ")
    assert changed <= len(modules) / 100, done.stdout[:2000]


def test_few_are_the_same(texts: list[str]) -> None:
    assert len(set(texts)) > 0.995 * len(texts)
    kept = near_duplicates(signatures(texts), np.arange(len(texts))).mask
    assert kept.mean() > 0.98
    bodies = Counter(" ".join(normalised(node)) for text in texts for node in functions(text))
    assert len(bodies) > len(texts) / 3


def test_the_same_thing_is_written_in_several_ways(texts: list[str]) -> None:
    kinds = Counter(
        type(node) for text in texts for each in functions(text) for node in ast.walk(each)
    )
    styles = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.Lambda, ast.IfExp)
    assert all(kinds[style] > 30 for style in styles)
    docstrings = [ast.get_docstring(each) or "" for text in texts for each in functions(text)]
    assert 0.3 < sum(">>> " in docstring for docstring in docstrings) / len(docstrings) < 0.6
    assert len({docstring.split(" ")[0] for docstring in docstrings}) > 25
    typed = sum(each.returns is not None for text in texts for each in functions(text))
    assert 0.5 < typed / len(texts) < 0.9


def test_docstrings_make_pairs(modules: list[str]) -> None:
    assert sum(len(list(of_text(text, ("docstrings",)))) for text in modules) > 500


def test_a_task_writes_repositories(tmp_path: Path) -> None:
    documents, count = read(Exercises(3300, 1), tmp_path)
    repos = Counter(document.repo for document in documents.values())
    assert len(repos) == 44 and all(repo.startswith("by-grammar-1-") for repo in repos)
    assert {document.license for document in documents.values()} == {"Apache-2.0"}
    assert count.documents_in == len(documents)
    sizes = [len(functions(document.text)) for document in documents.values()]
    assert min(sizes) <= 1 and max(sizes) >= 6
    assert max(sum(d.size for d in documents.values() if d.repo == r) for r in repos) < 50_000
    assert ExercisesTask(1, 0, 300).state() == ExercisesTask(2, 0, 300).state()


def test_other_seeds_give_other_exercises() -> None:
    assert not {exercise(0, i).code for i in range(50)} & {exercise(1, i).code for i in range(50)}


@pytest.mark.parametrize("fields", [{"count": 0}, {"count": -5}, {"seed": -1}])
def test_what_cannot_be_is_the_users_mistake(fields: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(fields))):
        from_table({"kind": "exercises", **fields})


def test_the_pipeline_keeps_nearly_all(tmp_path: Path) -> None:
    recipe = DataRecipe(({"kind": "exercises", "count": 3000},), heldout=0.4)
    report = pipeline.build(recipe, tmp_path / "c", Local(1))
    steps = report["steps"]
    first, last = steps["read"]["documents_in"], steps["near duplicates"]["documents_out"]
    assert last > 0.95 * first
    assert steps["decontamination"]["documents_out"] > 0.97 * first
    assert len(TextShard(tmp_path / "c", "heldout"))


def test_the_recipe_is_one() -> None:
    recipe = load(ROOT / "recipes/data/exercises.toml")
    assert isinstance(from_table(recipe.sources[0]), Exercises)


def test_imports_are_those_that_are_used() -> None:
    code = "x = math.sqrt(2)\ny = Counter(z)\ntext = 'reduce('\n# List[int]\nd: Dict[str, int]\n"
    assert imports([code]) == [
        "import math", "from collections import Counter", "from typing import Dict, List"
    ]  # fmt: skip
