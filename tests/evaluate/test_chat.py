from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eval_helpers import Answered, answering, records, whole_rows, write
from hypothesis import given
from hypothesis import strategies as st

from codegen25.evaluate import chat
from codegen25.evaluate.sandbox import Sandbox
from codegen25.evaluate.tasks import read_row
from conftest import Run

TASK = read_row(whole_rows()[0])
HELPED = read_row(
    {
        "task_id": "HumanEval/9",
        "prompt": "import math\n\n\ndef half(x):\n    return x / 2\n\n\n"
        'def root(x):\n    """The root of a half."""',
        "canonical_solution": "\n    return math.sqrt(half(x))\n",
        "test": "def check(candidate):\n    assert candidate(8) == 2\n",
        "entry_point": "root",
    }
)


@contextmanager
def talking(answer: Callable[[str], Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers messages, and the requests that it got."""

    def say(body: dict[str, Any], _: int) -> Answered:
        message = {"role": "assistant", "content": answer(body["messages"][0]["content"])}
        choice = {"message": message, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"completion_tokens": 7}}

    with answering(say) as (url, asked):
        yield f"{url}/v1/chat/completions", asked


def test_a_chat_model_is_scored_by_its_code_block(run: Run, tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", whole_rows(3))

    def answer(message: str) -> Any:
        if "def two" in message:
            return "I would rather not."
        if "def three" in message:
            return None
        return "Sure!\n```python\ndef one():\n    return 1\n```\nThis returns 1.\n```\none()\n```"

    with talking(answer) as (url, asked):
        common = ("eval", "humaneval", "--data", tasks, "--endpoint", url, "--model", "m")
        code, out, err = run(*common, "--chat", "--out", tmp_path / "run", "--workers", 1)
        assert code == 0, err
        assert "m on HumanEval-instruct: 3 tasks, 3 samples (emitted)" in out
        assert "| pass@1 | 33.33 %" in out
        assert run(*common, "--chat", "--out", tmp_path / "run")[1] == out and len(asked) == 3
    assert {body["path"] for body in asked} == {"/v1/chat/completions"}
    [message] = asked[0]["messages"]
    assert message["role"] == "user" and TASK.prompt.strip() in message["content"]
    assert "prompt" not in asked[0] and len({body["seed"] for body in asked}) == 3
    rows = {row["task_id"]: row for row in records(tmp_path / "run/samples.jsonl")}
    assert rows["HumanEval/0"]["raw"].startswith("Sure!") and rows["HumanEval/2"]["raw"] == ""
    said = json.loads((tmp_path / "run/run.json").read_text())
    assert said["chat"] is True and said["instruct"] is True and said["truncation"] == "none"
    report = (tmp_path / "run/report.md").read_text()
    assert "## Table 3: HumanEval by instruction" in report and "**m**" in report
    # Its samples are programs, whoever scores them.
    (tmp_path / "again.jsonl").write_text((tmp_path / "run/samples.jsonl").read_text())
    code, out, err = run("eval", "score", tmp_path / "again.jsonl", "--data", tasks, "--json")
    assert code == 0 and json.loads(out)["metrics"]["pass@1"]["value"] == pytest.approx(1 / 3), err


ANSWERS = {
    "whole": ("```python\nimport math\ndef root(x):\n    return math.sqrt(x / 2)\n```", True),
    "with the prompt's helper": ("```py\ndef root(x):\n    return math.sqrt(half(x))\n```", True),
    "its body": ("```\n    return math.sqrt(half(x))\n```", True),
    "its body without indentation": ("```\nreturn math.sqrt(half(x))\n```", True),
    "no fence": ("def root(x):\n    return math.sqrt(half(x))", True),
    "the block that defines it": (
        "First:\n```python\nimport math\n```\nthen\n~~~\ndef root(x):\n    return 2\n~~~", True),
    "a fence that is not closed": ("```python\ndef root(x):\n    return math.sqrt(x / 2)\n", True),
    "from the future": (
        "```\nfrom __future__ import annotations\ndef root(x: Any):\n    return 2\n```", True),
    "wrong": ("```python\ndef root(x):\n    return x\n```", False),
    "another function": ("```python\ndef roots(x):\n    return 2\n```", False),
    "prose": ("The root of a half is a number.", False),
}  # fmt: skip


def test_what_of_an_answer_is_run() -> None:
    programs = [HELPED.whole_program(chat.program(text, HELPED)) for text, _ in ANSWERS.values()]
    with Sandbox(workers=1) as box:
        found = dict(box.run(programs))
    passed = {name: found[i].passed for i, name in enumerate(ANSWERS)}
    assert passed == {name: right for name, (_, right) in ANSWERS.items()}


def test_other_languages_and_whole_modules() -> None:
    shell = read_row(
        {"name": "HumanEval_1_add", "language": "sh", "prompt": "add() {\n", "tests": "add 1 2"}
    )
    assert "```shell\nadd() {\n```" in chat.question(shell)
    whole = chat.program("```bash\nadd() { echo 3; }\n```", shell)
    assert whole == "add() { echo 3; }\n"
    assert chat.program("```\n  echo 3\n}\n```", shell) == "add() {\n  echo 3\n}\n"


@given(st.text(alphabet="`~ \n\tadefpr():x", max_size=60))
def test_every_answer_has_a_program(answer: str) -> None:
    assert chat.program(answer, TASK).startswith(TASK.prompt)


def test_what_goes_with_a_chat(run: Run, tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", whole_rows(1))
    for more, said in (
        (("--chat",), "--endpoint"),
        (("--chat", "--endpoint", "http://127.0.0.1:9", "--to-the-end"), "--to-the-end"),
    ):
        code, _, err = run("eval", "humaneval", "--data", tasks, *more)
        assert code == 2 and said in err and err.count("\n") == 1
