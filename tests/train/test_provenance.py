from __future__ import annotations

import subprocess
from dataclasses import asdict, replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from codegen25.train.provenance import changes, code_version, flat
from codegen25.train.recipe import Recipe

RECIPE = Recipe("corpus", "tokenizer.json")


def test_changed_fields_are_named_to_the_last_key() -> None:
    before = asdict(RECIPE)
    now = asdict(
        replace(
            RECIPE, seed=3, optimizer=replace(RECIPE.optimizer, kind="adamw"),
            corpus="elsewhere", tokenizer="t", pairs="p", keep_last=9, device="cpu",
        )
    )  # fmt: skip
    assert changes(before, now) == ["seed: 0 -> 3", 'optimizer.kind: "muon" -> "adamw"']
    assert changes(before, before) == []


def test_fields_that_one_side_lacks_are_named_unless_they_are_new_and_as_usual() -> None:
    before, now = asdict(RECIPE), asdict(RECIPE)
    del before["ema"], before["corruption"]["alias"], now["optimizer"]["clip"]
    now["corruption"]["alias"] = 0.1
    assert changes(before, now) == [
        "corruption.alias: 0.0 -> 0.1", "optimizer.clip: 1.0 -> not there",
    ]  # fmt: skip


Tables = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text("ab", min_size=1), inner), max_leaves=9
)


@given(st.dictionaries(st.text("ab", min_size=1), Tables))
def test_every_value_has_a_dotted_key(table: dict[str, object]) -> None:
    for key, value in flat(table).items():
        found: object = table
        for part in key.split("."):
            assert isinstance(found, dict)
            found = found[part]
        assert found == value


def test_the_code_is_named_where_a_checkout_tracks_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        named = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", tmp_path, *named, *arguments], check=True, capture_output=True)

    package, installed = tmp_path / "package", tmp_path / "installed"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "code.py").write_text("x = 1\n")
    assert code_version(package) == code_version(tmp_path / "nowhere") == ""
    git("init")
    git("add", "package")
    git("commit", "-m", "one")
    version = code_version(package)
    assert len(version) >= 7 and "dirty" not in version and code_version(installed) == ""
    (package / "code.py").write_text("x = 2\n")
    assert code_version(package) == f"{version}-dirty"
