from __future__ import annotations

from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.train.recipe import Recipe, Shape, find, load
from codegen25.train.size import derive, parameters

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
        ("share = 1.5\n", "share is 1.5"),
        ('share = 0.5\npairs = "docstrings"\n', "1 of pairs"),
        ('order = "random"\n', "identical or reshuffled"),
        ('[schedule]\nkind = "step"\n', "cosine, wsd or constant"),
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
    config = Shape(layers=4, hidden=256).config(4096)
    assert (config.num_attention_heads, config.head_dim, config.intermediate_size) == (4, 64, 704)
    with pytest.raises(UserError, match="heads divide hidden"):
        Shape(layers=4, hidden=100, heads=3).config(4096)
    wide = Shape(layers=1, hidden=4096).config(4096)
    assert (wide.num_attention_heads, wide.head_dim, wide.intermediate_size) == (32, 128, 10944)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_of_ours_loads(path: Path) -> None:
    nowhere = {"corpus": "c", "tokenizer": "t"}
    assert load(path, nowhere).resolved(4096, "cpu").shape.config(4096).parameters > 0


@pytest.mark.parametrize("size", ["1m", "5m", "14m", "30m", "113M", "350m", "1b", "7b"])
def test_the_dial_gives_a_model_of_the_size(tmp_path: Path, size: str) -> None:
    for vocabulary in (4096, 16_384):
        made = recipe(tmp_path, f'size = "{size}"\n').resolved(vocabulary, "cpu")
        assert made.shape.config(vocabulary).parameters == pytest.approx(parameters(size), rel=0.3)
        assert made.batch % made.micro_batch == 0 and made.optimizer.muon_lr == 0.02
    larger = derive(size, 4096).batch_tokens
    assert larger >= derive("1m", 4096).batch_tokens


def test_what_is_set_stays_and_the_rest_is_derived(tmp_path: Path) -> None:
    text = 'size = "14m"\nbatch = 6\n[shape]\nlayers = 3\n[optimizer]\nadam_lr = 0.1\n'
    made = recipe(tmp_path, text).resolved(4096, "cpu")
    assert (made.shape.layers, made.shape.hidden, made.batch, made.micro_batch) == (3, 384, 6, 3)
    assert (made.optimizer.adam_lr, made.optimizer.muon_lr) == (0.1, 0.02)
    assert made.resolved(4096, "cuda").micro_batch == 3
    assert recipe(tmp_path, 'size = "14m"\n').resolved(4096, "cuda").micro_batch == 32


@pytest.mark.parametrize("size", ["14", "m", "0m", "14 m", "-1m", "14g", "1e9"])
def test_what_is_no_size(tmp_path: Path, size: str) -> None:
    with pytest.raises(UserError, match="size is"):
        recipe(tmp_path, f'size = "{size}"\n')


def test_a_recipe_of_ours_goes_by_its_name(tmp_path: Path) -> None:
    assert find("mono-tiny").exists() and find(str(tmp_path / "x.toml")).name == "x.toml"
    with pytest.raises(UserError, match=r"no recipe 'mine'; .*mono-tiny"):
        find("mine")


def test_a_folder_of_the_same_name_is_not_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "multi").mkdir()  # the corpus that the recipe itself names
    monkeypatch.chdir(tmp_path)
    assert find("multi").name == "multi.toml"
