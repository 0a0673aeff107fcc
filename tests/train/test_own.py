from __future__ import annotations

from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.train import own


def test_a_corpus_that_stands_is_of_the_sources_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "VOCABULARY", 375)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            text = f"def {name}_{i}(x):\n    return [x + {i}, x * {i}, '{name * 50}']\n" * 5
            (tmp_path / name / f"m{i}.py").write_text(text)
    out, said = tmp_path / "out", list[str]()
    made = own.prepared([str(tmp_path / "a")], out, "", said.append)
    monkeypatch.chdir(tmp_path)
    assert own.prepared(["./a"], out, "", said.append) == made and len(said) == 1
    for others in (["b"], ["a", "b"]):
        with pytest.raises(UserError, match=r"corpus: made of .*a, not of .*b; name those"):
            own.prepared(others, out, "", said.append)
    (out / own.SOURCES).write_text("{")
    with pytest.raises(UserError, match=r"sources\.json: cannot be read"):
        own.prepared(["a"], out, "", said.append)
    (out / own.SOURCES).unlink()  # a corpus of before it was noted
    assert own.prepared(["b"], out, "", said.append) == made
