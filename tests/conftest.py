"""Small models and corpora that every test can afford, and where evaluation data is looked for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch
from hypothesis import settings

from codegen25 import checkpoint, cli, vocabulary
from codegen25.bench import shapes
from codegen25.data import pipeline
from codegen25.data.documents import Document
from codegen25.data.engines import Local
from codegen25.data.recipe import DataRecipe
from codegen25.data.shards import ShardWriter, TextShard, write_header
from codegen25.model import Llama, initialize
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Shape

if TYPE_CHECKING:
    from serving import Running

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny models gain nothing from threads and lose much when other work runs beside the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)  # how long one takes is the machine's matter
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def source_texts() -> list[str]:
    """Our own modules: real Python that is always at hand."""
    return [path.read_text() for path in sorted((ROOT / "src").rglob("*.py"))]


@pytest.fixture(scope="session")
def tokenizer(source_texts: list[str]) -> Tokenizer:
    return vocabulary.train(iter(source_texts), 800)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three packages made of a few of our own modules, some 40 kB."""
    files = sorted((ROOT / "src/codegen25").glob("*.py"), key=lambda f: f.stat().st_size)[-7:-1]
    source = tmp_path_factory.mktemp("source")
    for name, part in (("a", files[:1]), ("b", files[1:3]), ("c", files[3:])):
        (source / name).mkdir()
        for file in part:
            shutil.copy(file, source / name)
    out = tmp_path_factory.mktemp("data") / "corpus"
    pipeline.build(folder_recipe(*sorted(source.iterdir()), heldout=0.4), out, Local(1))
    return out


def split_of(folder: Path, *documents: Document, split: str = "train") -> TextShard:
    """A split that holds these documents."""
    with ShardWriter(folder, split) as writer:
        for document in documents:
            writer.add(document)
    write_header(folder, {split: writer.entry})
    return TextShard(folder, split)


def folder_recipe(*folders: Path, **fields: Any) -> DataRecipe:
    """A corpus of folders, each a repository, taken as they are."""
    tables = tuple({"kind": "folder", "path": str(folder)} for folder in folders)
    return DataRecipe(tables, **{"licenses": "any", "redact": False, **fields})


RECIPE = """
corpus = "{corpus}"
tokenizer = "{tokenizer}"
epochs = 2.0
batch = 4
micro_batch = 2
dtype = "float32"
[shape]
layers = 2
hidden = 32
heads = 2
context = 128
[schedule]
warmup = 2
"""


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path, tokenizer: Tokenizer) -> Path:
    """A recipe of the smallest training, beside its tokenizer."""
    tokenizer.save(tmp_path / "tokenizer.json")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(corpus=corpus, tokenizer=tmp_path / "tokenizer.json"))
    return path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """An untrained model directory: real in everything but wisdom."""
    model = Llama(Shape(layers=2, hidden=32, heads=2, context=256).config(tokenizer.vocab_size))
    initialize(model, torch.Generator().manual_seed(0))
    out = tmp_path_factory.mktemp("models") / "tiny"
    checkpoint.save(out, model, tokenizer)
    return out


@pytest.fixture(scope="session")
def random_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """Two blocks of four heads that say something; an untrained model's write zeros."""
    out = tmp_path_factory.mktemp("models") / "random"
    shape = Shape(layers=2, hidden=64, heads=4, context=256)
    shapes.write(out, shape.config(tokenizer.vocab_size), tokenizer=tokenizer)
    return out


@pytest.fixture(scope="session")
def grouped_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """The same with two heads for keys and values, and a long context."""
    out = tmp_path_factory.mktemp("models") / "grouped"
    config = Shape(layers=2, hidden=64, heads=4, context=2048).config(tokenizer.vocab_size)
    shapes.write(out, replace(config, num_key_value_heads=2), tokenizer=tokenizer)
    return out


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codegen25", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        code = exit_.value.code
        return (code if isinstance(code, int) else 0), out, err

    return call


def shared(relative: str) -> Path:
    """A file of the evaluation data: beside the checkout, then in the user's cache, else skip."""
    for root in (ROOT.parent / "shared/data", Path.home() / ".cache/codegen25/data"):
        if (root / relative).exists():
            return root / relative
    pytest.skip(f"evaluation data {relative} is neither in ../shared/data nor in the user's cache")


@pytest.fixture
def humaneval() -> Path:
    return shared("humaneval")


@pytest.fixture
def tiktoken_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared("tiktoken-cache")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """A real server with the shipped model, on loopback."""
    from serving import serving

    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One whose model is marked as one that was tuned on instructions."""
    from serving import engine, serving, tuned

    folder = tuned(tmp_path_factory.mktemp("models") / "tuned")
    with serving({"tuned": engine(folder)}) as running:
        yield running


@pytest.fixture
def chat(chatty: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=chatty.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client
