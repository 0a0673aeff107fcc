from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_helpers import GOOD, TEST, box, canonical

from codegen25.evaluate.sandbox import Program
from codegen25.evaluate.sandbox.inside.gate import harmless
from codegen25.evaluate.sandbox.inside.settings import LEVELS
from codegen25.evaluate.sandbox.pool import BOTH, FIRST

HARMFUL = [
    "import calendar\ncalendar.setfirstweekday(6)", "import calendar\ncalendar.mdays[2] = 29",
    "import decimal\ndecimal.getcontext().traps[decimal.Inexact] = True",
    "import copy\ncopy.dispatch_table[int] = str",
    "import sys", "import os", "import ctypes", "from gc import get_objects", "import typing, gc",
    "exec('1')", "eval('1')", "__import__('os')", "open('a')", "getattr(1, 'real')",
    "().__class__.__base__", "import math\nmath.floor = 1", "import math\ndel math.floor",
    "import typing\ntyping.sys.exit()", "import random\nrandom._os.kill(1, 9)",
    "from collections import abc, _sys", "def f():\n    raise ValueError().with_traceback(None)",
    "class A:\n    def __eq__(self, other): return True", "ｅｘｅｃ('1')",
    "def f():\n    def g():\n        return globals()", "x = [y.gi_frame for y in 'a']",
    "from operator import attrgetter", "lambda: __builtins__",
]  # fmt: skip


@pytest.mark.parametrize("source", HARMFUL)
def test_what_could_reach_beyond_itself_is_decided_alone(source: str) -> None:
    assert not harmless(compile(source, "x", "exec"))


def test_most_solutions_are_harmless(humaneval: Path) -> None:
    programs = canonical(humaneval / "HumanEval.jsonl.gz")
    found = [harmless(compile(program.source, "x", "exec")) for program in programs]
    assert sum(found) > 0.95 * len(found)


@pytest.mark.parametrize("level", LEVELS)
def test_one_sample_of_a_batch_cannot_spoil_the_next(level: str) -> None:
    """Harmless by name, but it changes what others see: they begin anew."""
    spoil = "from string import digits\nfrom random import shuffle, sample\ndef f(x): return x"
    walk = "from collections import Counter\nCounter.update.cache = 1\ndef f(x): return x + 1"
    late = "def f(x):\n    while True: pass"
    memory = "x = [bytes(1 << 28)]\ndef f(x): return x + 1"
    deep = "def f(x): return f(x)"
    sources = [spoil, walk, late, memory, deep, memory, late]
    programs = [Program(f"{s}\n# {n}", "f", TEST) for n, s in enumerate(sources)]
    good = [Program(f"{GOOD.source}# {n}", "f", TEST) for n in range(40)]
    mixed = [each for n, g in enumerate(good) for each in (g, *programs[n : n + 1])]
    with box(level) as sandbox:
        verdicts = dict(sandbox.run(mixed, FIRST))
        passed = {p.source for i, p in enumerate(mixed) if verdicts[i].passed}
    assert {g.source for g in good} <= passed


DEEP = [
    "import json\njson.encoder.ESCAPE_DCT.clear()",
    "from json.encoder import ESCAPE_DCT as d\nd['x'] = 'y'",
    "import dataclasses\ndataclasses.keyword.kwlist.pop()",
    "import hashlib\nhashlib.algorithms_available.clear()",
    "from textwrap import TextWrapper\nTextWrapper.unicode_whitespace_trans.clear()",
]


@pytest.mark.parametrize("source", DEEP)
def test_a_change_deep_in_a_module_is_seen(source: str) -> None:
    """In a fresh process: the change is real."""
    code = compile(source, "x", "exec")
    assert harmless(code)  # by its names, so it may share a fork
    read = (
        "import dataclasses, hashlib, json, textwrap\n"
        "from codegen25.evaluate.sandbox.inside.dirt import Dirt\n"
        f"dirty = Dirt()\nassert not dirty()\nexec({source!r})\nassert dirty()\n"
    )
    subprocess.run([sys.executable, "-c", read], check=True, env=os.environ)


def test_a_change_deep_in_a_module_fails_nobody_else() -> None:
    spoil = f"{DEEP[0]}\ndef f(x): return x"
    escaped = "import json\ndef f(x): return x + len(json.dumps(chr(34))) - 3"
    programs = [Program(f"{spoil if n == 0 else escaped}\n# {n}", "f", TEST) for n in range(32)]
    with box("limits") as sandbox:
        for stages in (BOTH, FIRST):
            found = dict(sandbox.run(programs, stages))
            assert [found[n].passed for n in range(32)] == [False, *[True] * 31]
