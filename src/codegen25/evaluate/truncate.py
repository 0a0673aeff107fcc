"""Where an answer ends that goes on too long. What is kept is always a prefix of the text.

block       the end of the function whose body the prompt left open, by indentation; of an answer
            that is a whole module, the end of the function that is tested
stop-words  the first of the words that Codex was stopped at (Chen et al. 2021), or the task's own
codegen     what CodeGen's published script does (salesforce/CodeGen, jaxformer/hf/sample.py)
none        nothing is cut
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from codegen25.errors import UserError
from codegen25.evaluate.tasks import Task

RULES = ("block", "stop-words", "codegen", "none")
STOP_WORDS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def check_rule(name: str) -> None:
    """Refuse a rule that is none."""
    if name not in RULES:
        raise UserError(f"--truncation {name}: it is {', '.join(RULES)}")


def truncate(text: str, rule: str, task: Task) -> str:
    """What of an answer to `task` is scored under a rule."""
    if rule == "none" or task.infill:
        return text
    if rule == "codegen":
        return _codegen(text)
    if rule == "stop-words" or task.language != "python":
        return _before_words(text, task.stop_words or STOP_WORDS)
    return text[: block_end(text, task.prompt, task.entry_point)]


def following(raw: str, task: Task, *, stripped: bool) -> tuple[str, Task]:
    """An answer, and the task whose prompt it follows, for a prompt `stripped` of its last newline.

    The newline that such an answer begins with is the prompt's; one without goes on in the
    prompt's last line.
    """
    if not stripped:
        return raw, task
    if raw.startswith("\n"):
        return raw[1:], task
    return raw, replace(task, prompt=task.prompt.removesuffix("\n"))


def completion(raw: str, rule: str, task: Task, *, stripped: bool) -> str:
    """What of an answer is scored, its first newline included."""
    text, shown = following(raw, task, stripped=stripped)
    return raw[: len(raw) - len(text)] + truncate(text, rule, shown)


def enough(text: str, rule: str, task: Task) -> bool:
    """Whether nothing that follows can change what is kept of `text`.

    A text that ends between lines is not looked at: its next line will tell as well.
    """
    if rule == "none" or not text or text.endswith("\n"):
        return False
    if rule == "block" and task.language == "python":
        indented = text[text.rfind("\n") + 1] in " \t"
        if (
            indented and _open_indent(task.prompt) == 0
        ):  # asked at every token: the usual case first
            return False
        return _closed(text, task.prompt, task.entry_point) is not None
    return len(truncate(text, rule, task)) < len(text) and rule != "codegen"


def oracle(text: str, reference: str) -> str:
    """As many lines of an infill as the reference has: what knowing when to stop would leave."""
    count = reference.count("\n")
    lines = text.split("\n")
    if len(lines) <= count:
        return text
    ends = "" if reference.endswith("\n") else lines[count]
    return "\n".join((*lines[:count], ends)) if count else ends


def block_end(text: str, prompt: str, entry_point: str) -> int:
    """Where the function ends that `text` continues or, after a prompt without one, defines.

    Comments and blank lines belong to what follows them. The length of `text` if it never ends.
    """
    closed = _closed(text, prompt, entry_point)
    return len(text) if closed is None else closed


def _closed(text: str, prompt: str, entry_point: str) -> int | None:
    base = _open_indent(prompt)
    inside = base is not None
    wanted = re.compile(rf"(async\s+)?def\s+{re.escape(entry_point)}\b")
    last = 0
    mid_line = bool(prompt) and not prompt.endswith("\n")
    for start, end in _logical_lines(text):
        line = text[start:end]
        code = line.lstrip(" \t\f")
        if not code.strip() or code.startswith("#"):
            continue
        outside = len(line) - len(code) <= (base or 0) and not (mid_line and start == 0)
        if inside and outside:
            return last
        if base is None and not inside and outside:
            inside = wanted.match(code) is not None
        last = end
    return None


@lru_cache(maxsize=1024)
def _open_indent(prompt: str) -> int | None:
    """The indentation of the function or class that a prompt ends in; None when it ends in none."""
    # A docstring is one logical line, so no word in it is taken for the head of a function.
    lines = [line for a, b in _logical_lines(prompt) if (line := prompt[a:b]).strip()]
    heads = [line for line in lines if re.match(r"\s*(async\s+def|def|class)\b", line)]
    if not heads:
        return None
    indent = len(heads[-1]) - len(heads[-1].lstrip())
    deeper = len(lines[-1]) - len(lines[-1].lstrip()) > indent
    return indent if deeper or lines[-1] == heads[-1] else None


_TOKEN = re.compile(
    r"""(?P<long>'{3}|"{3})|(?P<quote>['"])|(?P<comment>\#[^\n]*)|(?P<escape>\\(?:.|\n))"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<newline>\n)""",
    re.VERBOSE,
)


def _logical_lines(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each line as Python's grammar counts: brackets and strings span lines."""
    start, depth, place = 0, 0, 0
    while (found := _TOKEN.search(text, place)) is not None:
        place = found.end()
        if found["long"]:
            place = _string_end(text, place, found["long"], across_lines=True)
        elif found["quote"]:
            place = _string_end(text, place, found["quote"], across_lines=False)
        elif found["open"]:
            depth += 1
        elif found["close"]:
            depth = max(0, depth - 1)
        elif found["newline"] and not depth:
            yield start, place
            start = place
    if start < len(text):
        yield start, len(text)


def _string_end(text: str, place: int, quote: str, *, across_lines: bool) -> int:
    """Where a string ends that was opened before `place`; one line's ends with the line."""
    stop = re.compile(rf"\\(?:.|\n)|{quote}" + ("" if across_lines else r"|(?=\n)"))
    while (found := stop.search(text, place)) is not None:
        place = found.end()
        if not found[0].startswith("\\"):
            return place
    return len(text)


def _before_words(text: str, words: tuple[str, ...]) -> str:
    places = [place for word in words if (place := text.find(word)) >= 0]
    return text[: min(places, default=len(text))]


_TERMINALS = re.compile(r"""^#|<\|endoftext\|>|^'''|^\"\"\"|\n\n\n""", re.MULTILINE)


def _codegen(text: str) -> str:
    for word in ("print", "def"):
        found = list(re.finditer(f"^{word}", text, re.MULTILINE))
        if len(found) > 1:
            text = text[: found[1].start()]
    terminal = _TERMINALS.search(text)
    return text[: terminal.start()] if terminal else text
