from __future__ import annotations

from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.train.recipe import Recipe, Shape, load

ROOT = Path(__file__).parents[2]
MINIMAL = 'corpus = "c"\ntokenizer = "t"\n'


def recipe(tmp_path: Path, text: str, **overrides: str) -> Recipe:
    (tmp_path / "r.toml").write_text(MINIMAL + text)
    return load(tmp_path / "r.toml", overrides)


def test_tables_become_typed_values(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, "epochs = 4\n[corruption]\nmask_ratio = [0.1, 0.4]\n")
    assert loaded.epochs == 4.0 and loaded.corruption.mask_ratio == (0.1, 0.4)


def test_set_overrides_the_file(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, "seed = 1\n", **{"seed": "2", "shape.layers": "3", "name": "mine"})
    assert (loaded.seed, loaded.shape.layers, loaded.name) == (2, 3, "mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 4\n", "unknown key epoch"),
        ("[corruption]\nratio = 1\n", "unknown key corruption.ratio"),
        ('seed = "x"\n', "seed is 'x', which is no int"),
        ("seed = true\n", "seed is True"),
        ("batch = 5\nmicro_batch = 2\n", "no multiple"),
        ("epochs = 0\n", "epochs"),
        ('order = "random"\n', "identical or reshuffled"),
        ('[schedule]\nkind = "step"\n', "cosine or wsd"),
        ('[optimizer]\nkind = "sgd"\n', "muon or adamw"),
        ("[corruption]\nmask_ratio = [0.1]\n", "mask_ratio"),
        ("shape = 3\n", "shape is 3"),
        ("this is no toml", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        recipe(tmp_path, text)
    assert "r.toml" in str(error.value)


def test_what_must_be_given_is_said(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("seed = 1\n")
    with pytest.raises(UserError, match="corpus, tokenizer must be given"):
        load(tmp_path / "r.toml")
    with pytest.raises(UserError, match="no such recipe"):
        load(tmp_path / "none.toml")


def test_a_size_is_derived_or_refused() -> None:
    config = Shape(hidden=256).config(4096)
    assert (config.num_attention_heads, config.head_dim, config.intermediate_size) == (4, 64, 704)
    with pytest.raises(UserError, match="heads divide hidden"):
        Shape(hidden=100, heads=3).config(4096)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_of_ours_loads(path: Path) -> None:
    assert load(path).shape.config(4096).parameters > 0
