"""What a chat model is asked for a task, and the program in what it answers.

A chat model answers in prose with the code in a fence, and writes the whole function where a
completion would be its body. So its program is the prompt, whose imports and helpers the answer
may count on, with an empty body, and after it the answer's code, whose function takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import indent

from codegen25.evaluate.generate import INSTRUCTION
from codegen25.evaluate.tasks import Task

WHOLE = "Answer with the whole function in one code block."
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_FUTURE = re.compile(r"^from __future__ import .*\n", re.MULTILINE)


def question(task: Task) -> str:
    """The user's message."""
    return f"{INSTRUCTION}\n```{task.language}\n{task.given.rstrip()}\n```\n{WHOLE}"


def program(answer: str, task: Task) -> str:
    """The source that is run for an answer; all of the answer is code where it has no fence."""
    blocks = list(_blocks(answer)) or [answer]
    code = next((each for each in blocks if _defines(each, task)), blocks[0])
    if not task.prompt:
        return code
    if task.language != "python":
        return code if _defines(code, task) else task.prompt + code
    prompt = task.prompt if task.prompt.endswith("\n") else f"{task.prompt}\n"
    if _defines(code, task):
        future = "".join(_FUTURE.findall(code))  # it may stand at the beginning only
        return f"{future}{prompt}    pass\n\n\n{_FUTURE.sub('', code)}"
    return prompt + (code if code.lstrip("\n")[:1] in " \t" else indent(code, "    "))


def _blocks(answer: str) -> Iterator[str]:
    """What stands in the fences; one that is not closed goes to the end."""
    place = 0
    while (begin := _FENCE.search(answer, place)) is not None:
        mark = re.compile(rf"^[ \t]*{re.escape(begin[1])}[ \t]*$", re.MULTILINE)
        end = mark.search(answer, begin.end())
        yield answer[begin.end() + 1 : end.start() if end else len(answer)]
        place = end.end() if end else len(answer)


def _defines(code: str, task: Task) -> bool:
    name = re.escape(task.entry_point)
    if task.language != "python":
        return bool(name) and re.search(rf"\b{name}\b", code) is not None
    return re.search(rf"^(async\s+def|def|class)\s+{name}\b|^{name}\s*=", code, re.M) is not None
