"""The first half of the pipeline: a task's files read, judged one by one, and kept as a part.

A part is a folder named by what it was made from: the recipe and the files with their sizes and
times. It appears whole, by a rename, so a part that exists is finished; a run that was killed finds
its parts again, and a file that changed meanwhile makes another part.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen25 import __version__
from codegen25.data import decontaminate, dedup, quality, redact
from codegen25.data.documents import Document, Step, Tally, apply
from codegen25.data.functions import module_functions
from codegen25.data.minhash import signatures
from codegen25.data.recipe import DataRecipe
from codegen25.data.records.notebooks import notebook
from codegen25.data.shards import ShardWriter, TextShard, write_header
from codegen25.data.sources import Task
from codegen25.errors import UserError
from codegen25.seal import fault, seal

PART = "part"
COUNTS, HITS, KEYS, SIGNATURES = "counts.json", "hits.json", "keys.npy", "signatures.npy"
READ = "read"


@dataclass(frozen=True)
class PartTask:
    """Read and judge the files of `source` into a folder below `work`; picklable."""

    source: Task
    recipe: DataRecipe
    work: str

    @property
    def folder(self) -> Path:
        """Where the part stands when it is finished."""
        made_from = {
            "codegen25": __version__,
            "recipe": dataclasses.asdict(self.recipe),
            "task": repr(self.source),
            "state": self.source.state(),
            "files": [_digest(path) for path in _consulted(self.recipe)],
        }
        text = json.dumps(made_from, sort_keys=True, default=str)
        return Path(self.work) / hashlib.sha256(text.encode()).hexdigest()[:24]

    def run(self) -> str:
        """Make the part, unless it stands whole; its folder."""
        folder = self.folder
        if folder.exists() and fault(folder):
            shutil.rmtree(folder)
        if not folder.exists():
            staging = Path(tempfile.mkdtemp(prefix=".", dir=self.work))
            try:
                self._write(staging)
                staging.chmod(0o755)
                staging.rename(folder)
            except OSError:
                if not folder.exists():  # else a worker of a killed run was first, with the same
                    raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return str(folder)

    def _write(self, folder: Path) -> None:
        tally = Tally()
        hits: list[dict[str, Any]] = []
        texts: list[str] = []
        with ShardWriter(folder, PART) as writer:
            for document in self._judged(tally, hits):
                writer.add(document)
                texts.append(document.text)
        keys = [np.frombuffer(dedup.exact_key(text), dtype=np.uint8) for text in texts]
        _save(folder / KEYS, np.array(keys, dtype=np.uint8).reshape(-1, 16))
        if self.recipe.near_dedup:
            _save(folder / SIGNATURES, signatures(texts))
        counts = {name: count.as_json() for name, count in tally.items()}
        (folder / COUNTS).write_text(json.dumps(counts))
        (folder / HITS).write_text(json.dumps(hits))
        write_header(folder, {PART: writer.entry})
        seal(folder)

    def _judged(self, tally: Tally, hits: list[dict[str, Any]]) -> Iterator[Document]:
        documents: Iterable[Document] = self.source.read(tally.of(READ))
        named = [*steps(self.recipe), ("decontamination", decontamination(self.recipe, hits))]
        for name, step in named:
            tally.of(name)  # in their order, which generators pulled from the end would reverse
            documents = apply(name, step, documents, tally)
        return _with_functions(documents, tally) if self.recipe.functions else iter(documents)


def _save(path: Path, array: NDArray[Any]) -> None:
    """`np.save`, whose own error of a full disk has no number."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getbuffer())


def _with_functions(documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
    """Each document, and after a Python file its functions as documents of their own."""
    count = tally.of("functions")
    for document in documents:
        count.enter(document.size)
        python = document.language == "python" and not document.marks
        for each in (document, *(module_functions(document) if python else ())):
            count.leave(each.size)
            yield each


def _consulted(recipe: DataRecipe) -> list[str]:
    """Files beside the sources on which a document's fate depends."""
    own = [recipe.quality_model] if recipe.quality_model else []
    ours = [decontaminate.SHIPPED, quality.SHIPPED]
    return [*recipe.decontaminate, *own, *(str(Path(__file__).parent / name) for name in ours)]


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def steps(recipe: DataRecipe) -> list[tuple[str, Step]]:
    """The recipe's steps over single documents, by name, in order: the cheap ones first."""
    rules = dict(recipe.filters.steps())
    if recipe.licenses == "any":
        del rules["licence"]
    made = [("notebooks", _notebook), *rules.items()]
    if recipe.quality:
        named = recipe.quality_model
        model = quality.Model.load(Path(named)) if named else quality.shipped()
        made.append(("quality", quality.at_least(recipe.quality, model)))
    if recipe.redact:
        made.append(("redaction", redact.redact))
    return made


def _notebook(document: Document) -> Document | str:
    """Turn a Jupyter notebook into a record; other documents pass."""
    if document.language != "jupyter":
        return document
    return notebook(
        document.text, repo=document.repo, path=document.path, license=document.license,
        stars=document.stars,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _fingerprints(paths: tuple[str, ...]) -> decontaminate.Fingerprints:
    return decontaminate.shipped() | decontaminate.collect([Path(path) for path in paths])


def decontamination(recipe: DataRecipe, hits: list[dict[str, Any]]) -> Step:
    """The decontamination step, which also notes every hit."""
    fingerprints = _fingerprints(recipe.decontaminate)

    def step(document: Document) -> Document | str:
        found = decontaminate.hits(document, fingerprints)
        if not found:
            return document
        hits.extend({"document": document.name, **hit.as_json()} for hit in found)
        return "shares text with an evaluation problem"

    return step


def open_part(folder: Path) -> TextShard:
    """The documents of a finished part."""
    return TextShard(folder, PART)
