"""The bench of serving, with few people and no peer."""

from __future__ import annotations

import pytest

from codegen25.bench import serve
from conftest import Run


def cells(out: str, head: str) -> dict[str, str]:
    """The first row of the table whose head begins so."""
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {head}"))
    names, row = (lines[i].strip("| ").split(" | ") for i in (at, at + 2))
    return dict(zip(names, row, strict=False))


@pytest.mark.slow
def test_people_who_type_are_answered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "WARM_SECONDS", 0.5)
    monkeypatch.setattr(serve, "LEAVE_SECONDS", 0.5)
    code, out, _ = run(
        "bench", "serve", "--typists", "3", "--seconds", "2.5", "--interval", "0.5",
        "--threads", "1", "--peers-python", "/nowhere/python",
    )  # fmt: skip
    assert code == 0
    typed = cells(out, "server")
    assert typed["server"] == "ours" and typed["errors"] == "0" and float(typed["asked/s"]) > 1
    assert "llama.cpp Q8_0 (not run:" in out
    after = cells(out, "requests left")
    assert after["requests left"] == after["requests left then"] == "0"
    assert float(after["hung up a second"]) > 1


def test_nonsense_is_refused(run: Run) -> None:
    code, _, err = run("bench", "serve", "--typists", "0")
    assert code == 2 and "typists" in err
