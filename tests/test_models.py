"""Names of models to their directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from codegen25 import models
from codegen25.errors import UserError

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Empty model directories, shipped and cached ones, instead of what is here."""
    monkeypatch.setattr(models, "shipped_folder", lambda: tmp_path / "shipped")
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "cache"))

    def made(where: str, *names: str) -> Path:
        for name in names:
            (tmp_path / where / name).mkdir(parents=True)
            (tmp_path / where / name / "config.json").write_text("{}")
        return tmp_path / where

    return made


def test_of_a_family_the_default_is_the_mono_model(make: Make) -> None:
    folder = make("shipped", "small-instruct", "small-mono", "small-multi")
    assert models.resolve("default") == folder / "small-mono"
    assert models.resolve("small-instruct") == folder / "small-instruct"


def test_without_a_mono_model_the_default_is_the_first(make: Make) -> None:
    folder = make("shipped", "b", "a")
    assert models.resolve("default") == folder / "a"


def test_the_personal_model_comes_first(make: Make) -> None:
    make("shipped", "small-mono")
    folder = make("cache", models.PERSONAL)
    assert models.resolve("default") == folder / models.PERSONAL


def test_no_model_at_all_is_said(make: Make) -> None:
    with pytest.raises(UserError, match="ships no model"):
        models.resolve("default")
    make("shipped", "one")
    with pytest.raises(UserError, match=r"'two' is unknown; .* one of: one"):
        models.resolve("two")
