from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.evaluate import data
from codegen25.evaluate.tasks import Task
from codegen25.evaluate.truncate import RULES, check_rule, enough, oracle, truncate

TASK = Task("t/0", 'def f(x):\n    """class\n    of f.\n    """\n', "    return x\n", "", "f")
MODULE = replace(TASK, prompt="")
INFILL = replace(TASK, infill=True)

pieces = st.lists(
    st.sampled_from(
        [
            "    return x\n", "def f(y):\n", "\n", "# note\n", "    # note\n", "x", "print(1)\n",
            '"""', "'''", "'", "(", ")", "\\\n", "\\", "class A:\n", "  ", "if x:\n", "import re\n",
            "    s = '''a\nb\n'''\n", "\t", "é", "@d\n", "\n\n\n", "[\n", "]\n", "async def f():\n",
        ]
    ),
    max_size=20,
).map("".join)  # fmt: skip


@given(pieces, st.sampled_from(RULES), st.sampled_from([TASK, MODULE, INFILL]))
def test_what_is_kept_is_a_prefix_and_stays_as_it_is(text: str, rule: str, task: Task) -> None:
    kept = truncate(text, rule, task)
    assert text.startswith(kept)
    assert truncate(kept, rule, task) == kept


@given(pieces, pieces, st.sampled_from(RULES), st.sampled_from([TASK, MODULE]))
def test_enough_means_that_nothing_more_is_kept(a: str, b: str, rule: str, task: Task) -> None:
    if enough(a, rule, task):
        assert truncate(a + b, rule, task) == truncate(a, rule, task)


@given(pieces, pieces)
def test_the_oracle_keeps_as_many_lines_as_the_reference(text: str, reference: str) -> None:
    kept = oracle(text, reference)
    assert text.startswith(kept) and kept.count("\n") <= reference.count("\n")
    assert oracle(reference, reference) == reference
    assert oracle(reference + "x", reference) in (reference, reference + "x")


BODY = "    y = [\n1,\n]\n    s = '''\nnot the end\n'''\n\n# still inside\n    return y\n"


@pytest.mark.parametrize(
    "after",
    [
        "def g():\n    pass\n",
        "print(f(1))\n",
        '"""text',
        "import torch\n",
        "x = 1",
        "# a\nassert 1",
    ],
)
def test_a_block_ends_where_its_indentation_does(after: str) -> None:
    for blanks in ("", "\n\n", "\n# about what follows\n"):
        assert truncate(BODY + blanks + after, "block", TASK) == BODY
    assert truncate(BODY, "block", TASK) == BODY and not enough(BODY, "block", TASK)
    assert enough(BODY + "x = 1", "block", TASK)


def test_a_whole_module_ends_with_the_function_that_is_tested() -> None:
    text = "import re\n\ndef help(x):\n    return x\n\ndef f(x):\n    return help(x)\n"
    assert truncate(text + "\nprint(f(1))\n", "block", MODULE) == text
    assert truncate("x = 1\nprint(x)\n", "block", MODULE) == "x = 1\nprint(x)\n"


def test_a_method_ends_at_its_own_indentation() -> None:
    task = replace(TASK, prompt="class A:\n    def f(self):\n", entry_point="A")
    text = "        return 1\n\n    def g(self): pass\n"
    assert truncate(text, "block", task) == "        return 1\n"


def test_an_answer_may_begin_in_the_middle_of_a_line() -> None:
    task = replace(TASK, prompt="def f(x):\n    return ")
    assert truncate("x + 1\n\nprint(2)", "block", task) == "x + 1\n"


def test_the_words_of_codex_and_of_a_task() -> None:
    text = "    return 1\n\nif x:\n    pass\n\nlocal y"
    assert truncate(text, "stop-words", TASK) == "    return 1\n"
    lua = replace(TASK, language="lua", stop_words=("\nlocal",))
    assert truncate(text, "block", lua) == text.removesuffix("\nlocal y")


def test_codegens_rule() -> None:
    text = "def a():\n  pass\ndef b():\n  pass\nprint(1)\nprint(2)\n"
    assert truncate(text, "codegen", TASK) == "def a():\n  pass\n"
    assert truncate("  x\n# c\n  y", "codegen", TASK) == "  x\n"
    assert truncate("  x\n\n\n\n  y", "codegen", TASK) == "  x"


def test_nothing_of_an_infill_is_cut() -> None:
    assert truncate("x\ndef f(): pass", "block", INFILL) == "x\ndef f(): pass"


def test_canonical_solutions_stay_whole(humaneval: Path) -> None:
    for task in data.load(str(humaneval), "humaneval").tasks:
        assert truncate(task.canonical_solution, "block", task) == task.canonical_solution
        longer = task.canonical_solution + "\n\ndef more():\n    pass\n"
        kept = truncate(longer, "block", task)
        assert kept.rstrip() == task.canonical_solution.rstrip(), task.task_id
        ast.parse(task.prompt + kept)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UserError, match="block"):
        check_rule("lines")
