"""Benchmarks as tasks: rows of several schemas, told apart by their fields, and their programs.

Known are openai's HumanEval and HumanEval-Infill (four sets), evalplus's HumanEval+, MBPP-like
lists of assertions and MultiPL-E's other languages. Defects of the data are kept, so that scores
stay comparable.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from textwrap import indent
from typing import Any

from codegen25.evaluate.plus import BY_REFERENCE, ROOT_OF_POLYNOMIAL
from codegen25.evaluate.sandbox import Program

Row = Mapping[str, Any]
_MULTIPL_E = re.compile(r"([A-Za-z]+)_\d+_(\w+)$")


@dataclass(frozen=True)
class Task:
    """What is asked, and what decides the answer.

    A program is `prompt + answer + suffix`; `given` is what the model is shown of it, which for
    MBPP is a description that is no part of the program. `helpers` follow the canonical solution
    where the test can see it. `set_name` is given where the task's id has another set's.
    """

    task_id: str
    prompt: str
    canonical_solution: str
    test: str
    entry_point: str
    suffix: str = ""
    given: str = ""
    language: str = "python"
    stop_words: tuple[str, ...] = ()
    infill: bool = False
    helpers: str = ""
    set_name: str = ""

    @property
    def problem(self) -> str:
        """What it hangs together with: "SingleLineInfilling/HumanEval/7/L2" -> "HumanEval/7"."""
        return problem_of(self.task_id, self.infill)

    @property
    def benchmark(self) -> str:
        """The set's name as the task ids have it; of MultiPL-E's with the language.

        evalplus's sets keep the ids of those that they extend: their names end in Plus.
        """
        if self.set_name:
            return self.set_name
        if found := _MULTIPL_E.match(self.task_id):
            return f"{found[1]}-{self.language}"
        return self.task_id.rstrip("0123456789").strip("/_").split("/")[0] or "tasks"

    def program(self, answer: str) -> Program:
        """What is run for an answer."""
        return self.whole_program(self.prompt + answer + self.suffix)

    def whole_program(self, source: str) -> Program:
        """What is run for a source that holds the prompt already."""
        canonical = self.prompt + self.canonical_solution + self.suffix + self.helpers
        return Program(source, self.entry_point, self.test, canonical, self.language)


def problem_of(task_id: str, infill: bool) -> str:
    """What `Task.problem` says, without the task."""
    parts = task_id.split("/")
    return "/".join(parts[1:3]) if infill and len(parts) > 2 else task_id


def read_row(row: Row) -> Task:
    """A row of any schema known. KeyError, TypeError or ValueError say what is wrong with it."""
    for fields, read in _SCHEMAS:
        if fields <= row.keys():
            return read(row)
    wanted = "; or ".join(", ".join(sorted(fields)) for fields, _ in _SCHEMAS)
    raise ValueError(f"no schema known has the fields {', '.join(row)}; wanted are {wanted}")


def _infilling(row: Row) -> Task:
    task = _shown(Task(**_texts(row, *_HUMANEVAL, "suffix"), infill=True))
    if len(task.task_id.split("/")) < 3:
        raise ValueError(f"task_id {task.task_id} names no problem (SET/HumanEval/NUMBER/…)")
    return task


def _humaneval(row: Row) -> Task:
    return _shown(Task(**_texts(row, *_HUMANEVAL)))


def _humaneval_plus(row: Row) -> Task:
    texts = _texts(row, *(name for name in _HUMANEVAL if name != "test"))
    inputs = [*row["base_input"], *row["plus_input"]]
    oracle = ROOT_OF_POLYNOMIAL if texts["entry_point"] == "find_zero" else BY_REFERENCE
    test = oracle.format(inputs=inputs, atol=float(row.get("atol") or 0))
    # In the test the function's own name is the candidate's.
    reference = f"\n\nREFERENCE = {texts['entry_point']}\n"
    task = Task(**texts, test=test, helpers=reference)
    return _shown(replace(task, set_name=f"{task.benchmark}Plus"))


def _assertions(row: Row) -> Task:
    """MBPP: the answer is a whole module, and which function is meant stands in the assertions."""
    text, code = str(row.get("prompt") or row["text"]), str(row["code"])
    tests = [str(each) for each in row["test_list"]]
    imports = row.get("test_imports") or []
    setup = "\n".join(imports if isinstance(imports, list) else [str(imports)])
    setup = f"{setup}\n{row.get('test_setup_code') or ''}".strip()
    name = _tested(code, tests)
    body = indent("\n".join(each.strip() for each in tests), "    ")
    return Task(
        task_id=str(row["task_id"]) if "/" in str(row["task_id"]) else f"Mbpp/{row['task_id']}",
        prompt="",
        canonical_solution=code,
        test=f"{setup}\n\n\ndef check({name}):\n{body}\n",
        entry_point=name,
        given='"""\n' + "\n".join((text, *tests)) + '\n"""\n',
    )


_LANGUAGES = {
    "py": "python", "sh": "shell", "bash": "shell", "js": "javascript", "pl": "perl",
    "rb": "ruby", "jl": "julia", "rkt": "racket",
}  # fmt: skip
"""MultiPL-E's names of languages."""


def _multipl_e(row: Row) -> Task:
    name = row.get("name") or row["task_id"]
    entry = _MULTIPL_E.match(str(name))
    return _shown(
        Task(
            task_id=str(name),
            prompt=str(row["prompt"]),
            canonical_solution=str(row.get("canonical_solution", "")),
            test=str(row["tests"]),
            entry_point=entry[2] if entry else "",
            language=_LANGUAGES.get(str(row["language"]), str(row["language"])),
            stop_words=tuple(map(str, row.get("stop_tokens") or ())),
        )
    )


def _shown(task: Task) -> Task:
    return replace(task, given=task.prompt)


def _texts(row: Row, *names: str) -> dict[str, Any]:
    for name in names:
        if not isinstance(row[name], str):
            raise TypeError(f"{name} is no text")
    return {name: row[name] for name in names}


def _tested(code: str, tests: list[str]) -> str:
    """The function of `code` that the assertions call first."""
    defined = {
        node.name
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    called = re.findall(r"(\w+)\s*\(", " ".join(tests))
    for name in called:
        if name in defined:
            return str(name)
    raise ValueError("its assertions call no function of its code")


_HUMANEVAL = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
_SCHEMAS: tuple[tuple[set[str], Callable[[Row], Task]], ...] = (
    ({*_HUMANEVAL, "suffix"}, _infilling),
    ({"task_id", "prompt", "canonical_solution", "entry_point", "base_input", "plus_input"},
     _humaneval_plus),
    (set(_HUMANEVAL), _humaneval),
    ({"task_id", "code", "test_list"}, _assertions),
    ({"language", "prompt", "tests"}, _multipl_e),
)  # fmt: skip
