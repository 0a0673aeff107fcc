"""What all exports share: which files a model directory consists of, and folders written whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.weights import INDEX, Weights, weight_files


def checked(folder: Path) -> Directory:
    """A model directory whose tensors are all there, with the shapes its configuration asks for."""
    directory = Directory.read(folder)
    Weights(folder, directory.config)
    return directory


def files_of(folder: Path) -> list[Path]:
    """The files of a checkpoint: weights, JSON, licence, model card; nothing that a run left."""
    index = folder / INDEX
    named = [*weight_files(folder), *folder.glob("*.json"), *folder.glob("LICENSE*"),
             *folder.glob("README.md")]  # fmt: skip
    return sorted({path for path in named if path.is_file() and path != index} | _index(folder))


def _index(folder: Path) -> set[Path]:
    """The index belongs to shards; beside one whole file it would only mislead."""
    whole = [path.name for path in weight_files(folder)] == [INDEX.removesuffix(".index.json")]
    return set() if whole or not (folder / INDEX).is_file() else {folder / INDEX}


@contextmanager
def replacing(folder: Path, mark: str) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block succeeds.

    What stands there is replaced only if it holds a file `mark`, as an export of ours does.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder / mark).is_file():
        raise UserError(f"{folder} exists and holds no {mark}; name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    old = staging.with_name(staging.name.replace(".new-", ".old-"))
    try:
        staging.chmod(0o755)
        yield staging
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
