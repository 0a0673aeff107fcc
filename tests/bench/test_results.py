from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from bench_helpers import script

results = script("results")
SECTIONS = results.sections(Path("humaneval"), Path("corpus"), Path("source"), "peers/bin/python")


@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_shown_is_what_is_run(name: str) -> None:
    section = SECTIONS[name]
    shown = [Path(each).name for each in shlex.split(section.shown.replace("SOURCE", "source"))]
    run = [Path(each).name for each in section.command]
    run = run[run.index("codegen25") :] if "-m" in run[:2] else ["python", *run[1:]]
    assert run == shown


def test_titles_are_told_apart() -> None:
    assert len({section.title for section in SECTIONS.values()}) == len(SECTIONS)
