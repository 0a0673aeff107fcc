"""A model's name to its directory: shipped, a path, cached, or the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from codegen25.errors import UserError

DEFAULT = "default"
PERSONAL = "personal"
"""The cached model that `default` means once there is one: the user's own, see `train.own`."""
USUAL = "-mono"
"""What the shipped model's name ends in that `default` means, the largest of them."""
HUB = "hf:"
CACHE_VARIABLE = "CODEGEN25_CACHE"


@dataclass(frozen=True)
class Known:
    """A model that can be named."""

    name: str
    folder: Path
    where: str


def shipped_folder() -> Path:
    """The folder of the models that come with the package."""
    return Path(str(files("codegen25"))) / "shipped"


def cache_folder() -> Path:
    """Where downloaded or copied models are looked for."""
    root = os.environ.get(CACHE_VARIABLE)
    # A user without a home directory (a bare container) has no cache, which is no error.
    return Path(root or os.path.expanduser("~/.cache/codegen25"))  # noqa: PTH111


def known() -> list[Known]:
    """All models by name, shipped ones first."""
    found = []
    for root, where in ((shipped_folder(), "shipped"), (cache_folder(), "cached")):
        if root.is_dir():
            found += [
                Known(folder.name, folder, where)
                for folder in sorted(root.iterdir())
                if (folder / "config.json").is_file() and not folder.name.startswith(".")
            ]
    return found


def resolve(name: str) -> Path:
    """The directory of a model.

    "default" is the user's personal model, or without one the shipped model. "hf:owner/name" is
    fetched from the Hugging Face hub, or taken from its cache: the only way to the network.
    """
    models = {model.name: model.folder for model in reversed(known())}
    if name == DEFAULT:
        if PERSONAL in models:
            return models[PERSONAL]
        shipped = [model for model in known() if model.where == "shipped"]
        if not shipped:
            raise UserError("this installation ships no model; name one with --model DIR")
        usual = [model for model in shipped if model.name.endswith(USUAL)]
        return max(usual or shipped, key=lambda model: _size(model.folder)).folder
    if name in models:
        return models[name]
    if name and Path(name).is_dir():
        return Path(name)
    if name.startswith(HUB):
        return _from_hub(name.removeprefix(HUB))
    names = ", ".join(models) or "none"
    raise UserError(
        f"model {name!r} is unknown; give a model directory, hf:owner/name, or one of: {names}"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"to fetch {name} from the Hugging Face hub, pip install 'codegen25[hub]'"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:
        raise UserError(
            f"{name} could not be fetched from the Hugging Face hub: {type(error).__name__}"
        ) from error
